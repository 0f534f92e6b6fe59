"""Celery on RabbitMQ behind FastAPI, as their documentation has it.

One INSERT and one `delay` per request, one transaction per task. As durable as ours: this Celery does not know quorum
queues, so it uses a durable queue with persistent messages and publisher confirms, and late acks.
Run by uvicorn (web) and by `celery -A celery_peer worker`.
"""

import json
import os
import time
import uuid
from urllib.parse import urlparse

import pymysql
from celery import Celery
from celery.signals import worker_ready
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from queue import Empty, LifoQueue

database_url = urlparse(os.environ["DATABASE_URL"])
burn_ms = float(os.environ.get("BURN_MS", "0"))

celery = Celery("celery_peer", broker=os.environ["RABBITMQ_URL"])
celery.conf.update(
    task_default_queue=os.environ["QUEUE"],
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"confirm_publish": True},
)


def connect():
    return pymysql.connect(
        host=database_url.hostname,
        port=database_url.port,
        user=database_url.username,
        password=database_url.password or "",
        database=database_url.path[1:],
        autocommit=False,
    )


connections: LifoQueue = LifoQueue()


def with_connection(work):
    try:
        connection = connections.get_nowait()
    except Empty:
        connection = connect()
    try:
        with connection.cursor() as cursor:
            result = work(cursor)
        connection.commit()
        return result
    except Exception:
        connection.rollback()
        raise
    finally:
        connections.put(connection)


@worker_ready.connect
def say_ready(**_):
    print(" ready.", flush=True)


@celery.task(name="score")
def score(event_id, user_id, body):
    started = time.thread_time()
    while (time.thread_time() - started) * 1000 < burn_ms:
        pass

    def settle(cursor):
        cursor.execute("SELECT status FROM celery_events WHERE event_id = %s FOR UPDATE", (event_id,))
        row = cursor.fetchone()
        if row and row[0] == "PENDING":
            cursor.execute("UPDATE celery_events SET status = 'PROCESSED', score = 1 WHERE event_id = %s", (event_id,))
            cursor.execute(
                "INSERT INTO celery_friendship VALUES (%s, 1) ON DUPLICATE KEY UPDATE friendship_score = friendship_score + 1", (user_id,)
            )

    with_connection(settle)


web = FastAPI()


@web.post("/v1/conversations/end")
async def end(request: Request):
    body = await request.json()
    event_id = str(uuid.uuid4())

    def accept():
        with_connection(
            lambda cursor: cursor.execute(
                "INSERT INTO celery_events VALUES (%s, %s, %s, %s, 'PENDING', NULL, NOW(3))",
                (event_id, body["conversation_id"], body["user_id"], json.dumps(body)),
            )
        )
        score.delay(event_id, body["user_id"], body)

    await run_in_threadpool(accept)
    return JSONResponse({"status": "accepted", "event_id": event_id}, status_code=202)
