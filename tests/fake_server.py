"""A server with OpenAI's interface that answers by a script, on a free port of this machine."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def said(text, end="stop"):
    return {"choices": [{"message": {"content": text}, "finish_reason": end}]}


class FakeServer:
    """Answers what `script` gives for the last message: (code, body or text, headers)."""

    def __init__(self, script, models=("m",)):
        self.asked, self.headers, self.most = [], [], 0
        self._now, self._lock = 0, threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send(200, {"data": [{"id": each} for each in models]}, {})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer._now += 1
                    outer.most = max(outer.most, outer._now)
                    outer.headers.append(dict(self.headers))
                    outer.asked.append((body, self.headers.get("Authorization")))
                    count = len(outer.asked)
                found = script(body["messages"][-1]["content"], count)
                with outer._lock:
                    outer._now -= 1
                self.send(*found)

            def send(self, code, body, headers):
                data = (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(code)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
