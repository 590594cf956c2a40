"""The formats of the providers: a body in, neutral words out, and back. No I/O here.

One file a format: it reads requests, and writes answers, streams and errors. Who serves the formats, and who reads
recordings of them, is above.
"""
