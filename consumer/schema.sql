-- The tables of the PostgreSQL sink. `evenkeel-consumer --create-tables` applies this file, or
-- `psql -f schema.sql`; it may be applied again at any time.

-- How far each group has come; a row is the lock of its partition. A batch moves next_offset in the
-- same transaction that inserts its rows, and only from where its member believes it to be: whoever
-- has lost the partition writes nothing. -1: nothing has been written yet, Kafka says where to begin.
-- To replay a partition, set next_offset back; running members notice and follow.
CREATE TABLE IF NOT EXISTS consumer_offsets (
    consumer_group  text    NOT NULL,
    topic           text    NOT NULL,
    kafka_partition integer NOT NULL,
    next_offset     bigint  NOT NULL,
    PRIMARY KEY (consumer_group, topic, kafka_partition)
) WITH (fillfactor = 50); -- room for the updates to stay on their page

-- What is yours to change, together with `src/postgres/rows.rs`. No index is needed for exactly once;
-- add those that your readers need.
CREATE TABLE IF NOT EXISTS trades (
    account_id      text             NOT NULL,
    trade_id        text             NOT NULL,
    symbol          text             NOT NULL,
    trade_type      text             NOT NULL,
    quantity        bigint           NOT NULL,
    price           double precision NOT NULL,
    traded_at       timestamptz      NOT NULL,
    kafka_partition integer          NOT NULL,
    kafka_offset    bigint           NOT NULL
);
