"""The health service of gRPC on the C core: PORT TLS_PORT CERT KEY [SERVICE=STATUS]... Answers are bytes: no generated
code is needed."""
import sys
import time
from concurrent import futures

import grpc

# HealthCheckResponse {status = 1}: SERVING, NOT_SERVING, SERVICE_UNKNOWN, and one that nobody knows.
answers = {b"": 1, b"shop": 1, b"ill": 2, b"unknown": 3, b"odd": 7, b"private": 1, b"slow": 1}


def check(request, context):
    # HealthCheckRequest {service = 1}, of a name shorter than 128 bytes.
    service = request[2:]
    metadata = dict(context.invocation_metadata())
    if service == b"private" and metadata.get("authorization") != "Bearer s3cret":
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you? \N{SNOWMAN}")
    if service == b"deadline":
        context.abort(grpc.StatusCode.ABORTED, "%.1f" % context.time_remaining())
    if service == b"slow":
        time.sleep(0.1)
    if service not in answers:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return bytes([8, answers[service]])


class Health(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(check)
        return None


port, tls_port, cert, key, *more = sys.argv[1:]
for each in more:
    name, _, status = each.partition("=")
    answers[name.encode()] = int(status)
server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Health()])
server.add_insecure_port("127.0.0.1:" + port)
pair = (open(key, "rb").read(), open(cert, "rb").read())
server.add_secure_port("127.0.0.1:" + tls_port, grpc.ssl_server_credentials([pair]))
server.start()
print("serving", flush=True)
server.wait_for_termination()
