-- The tables. `--create-tables` applies this file, or `psql -f schema.sql`; it may be applied again at any
-- time, and brings tables of earlier versions up to date.

-- How far each group has come; a row is the lock of its partition. A batch moves next_offset in the same
-- transaction that inserts its rows, and only from where its member believes it to be: whoever has lost the
-- partition writes nothing. -1: nothing has been written yet, Kafka says where to begin. cluster_id is
-- Kafka's: offsets of one cluster mean nothing in another.
CREATE TABLE IF NOT EXISTS consumer_offsets (
    consumer_group  text    NOT NULL,
    topic           text    NOT NULL,
    kafka_partition integer NOT NULL,
    next_offset     bigint  NOT NULL,
    cluster_id      text,
    PRIMARY KEY (consumer_group, topic, kafka_partition)
) WITH (fillfactor = 50); -- room for the updates to stay on their page
DO $$ BEGIN -- only where it is missing, since it locks the table
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'consumer_offsets'::regclass
                   AND attname = 'cluster_id') THEN
        ALTER TABLE consumer_offsets ADD COLUMN cluster_id text;
    END IF;
END $$;

-- Records that can never be written, whole, with the reason. In the same transaction as everything else.
CREATE TABLE IF NOT EXISTS dead_letters (
    consumer_group  text        NOT NULL,
    topic           text        NOT NULL,
    kafka_partition integer     NOT NULL,
    kafka_offset    bigint      NOT NULL,
    kind            text        NOT NULL, -- undecodable, or refused by PostgreSQL
    reason          text        NOT NULL, -- it may quote the record
    buried_at       timestamptz NOT NULL DEFAULT now(),
    produced_at     timestamptz,
    key             bytea,
    value           bytea,
    header_names    text[]      NOT NULL,
    header_values   bytea[]     NOT NULL
);

-- What is yours to change, together with `src/trade.rs`. No index is needed for exactly once; add those that
-- your readers need.
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
