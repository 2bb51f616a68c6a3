"""Counts the letters of what it is sent: curl -d 'some text' http://localhost:8104/"""
import collections
import http.server
import json
import os
import signal
import threading


class Letters(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({"send": "some text, by POST"})

    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(errors="replace")
        self.answer(collections.Counter(c for c in text.lower() if c.isalpha()))

    def answer(self, value):
        body = (json.dumps(value, sort_keys=True) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Letters)
# What is under way is finished: server_close() waits for its threads.
server.daemon_threads = False
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
