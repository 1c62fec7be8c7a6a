# The published approach, for comparison: a Python consumer that inserts row by row in a batch and
# commits to Kafka, synchronously, after each batch; and the same with COPY in place of INSERT. Written
# by us with the clients that most people would take, confluent-kafka and psycopg; the settings are the
# blueprint's. No claim is made on how fast Python can be made.
#
# usage: rival.py insert|copy BOOTSTRAP_SERVERS TOPIC DATABASE_URL BATCH_SIZE RECORDS
# prints records/s, and ends with its input, so that what it has used can be looked at
import json
import sys
import time
from datetime import datetime, timezone

import psycopg
from confluent_kafka import Consumer

how, servers, topic, url, batch_size, records = sys.argv[1:]
batch_size, records = int(batch_size), int(records)
consumer = Consumer({
    "bootstrap.servers": servers,
    "group.id": f"rival-{time.time()}",
    "partition.assignment.strategy": "cooperative-sticky",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
})
consumer.subscribe([topic])
columns = (
    "trades (account_id, trade_id, symbol, trade_type, quantity, price, traded_at, "
    "kafka_partition, kafka_offset)"
)
insert = f"INSERT INTO {columns} VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
count, began = 0, None
with psycopg.connect(url) as database, database.cursor() as cursor:
    while count < records:
        messages = [m for m in consumer.consume(batch_size, timeout=0.1) if m.error() is None]
        if not messages:
            continue
        if began is None:
            began = time.monotonic()
        rows = []
        for message in messages:
            trade = json.loads(message.value())
            rows.append((
                trade["account_id"], trade["trade_id"], trade["symbol"], trade["trade_type"],
                trade["quantity"], trade["price"],
                datetime.fromtimestamp(trade["timestamp"] / 1000, timezone.utc),
                message.partition(), message.offset(),
            ))
        if how == "copy":
            with cursor.copy(f"COPY {columns} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            cursor.executemany(insert, rows)
        database.commit()
        consumer.commit(asynchronous=False)
        count += len(rows)
print(round(count / (time.monotonic() - began)), flush=True)
sys.stdin.read()
consumer.close()
