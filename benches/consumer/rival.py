# The published approach, for comparison: a Python consumer that inserts row by row in a batch and
# commits to Kafka, synchronously, after each batch. Written by us with the clients that most people
# would take, confluent-kafka and psycopg; the settings are the blueprint's. No claim is made on how
# fast Python can be made.
#
# usage: rival.py BOOTSTRAP_SERVERS TOPIC DATABASE_URL BATCH_SIZE RECORDS
import json
import sys
import time

import psycopg
from confluent_kafka import Consumer

servers, topic, url, batch_size, records = sys.argv[1:]
batch_size, records = int(batch_size), int(records)
consumer = Consumer({
    "bootstrap.servers": servers,
    "group.id": f"rival-{time.time()}",
    "partition.assignment.strategy": "cooperative-sticky",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
})
consumer.subscribe([topic])
insert = (
    "INSERT INTO trades (account_id, trade_id, symbol, trade_type, quantity, price, traded_at, "
    "kafka_partition, kafka_offset) VALUES (%s, %s, %s, %s, %s, %s, to_timestamp(%s), %s, %s)"
)
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
                trade["quantity"], trade["price"], trade["timestamp"] / 1000,
                message.partition(), message.offset(),
            ))
        cursor.executemany(insert, rows)
        database.commit()
        consumer.commit(asynchronous=False)
        count += len(rows)
print(round(count / (time.monotonic() - began)))
consumer.close()
