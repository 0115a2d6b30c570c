"""A time and a size for requests that uvicorn would wait for without end."""

from http_arrival.protocol import MAX_HEAD, MIN_RATE, ArrivalProtocol, limited

__all__ = ["MAX_HEAD", "MIN_RATE", "ArrivalProtocol", "limited"]
