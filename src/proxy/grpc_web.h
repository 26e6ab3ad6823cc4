// SPDX-License-Identifier: Apache-2.0
// gRPC-Web (github.com/grpc/grpc, PROTOCOL-WEB) to gRPC, where the endpoint speaks HTTP/2: the same
// messages; trailers travel as a last message of the body; the -text form is base64. Worker.
#pragma once
#include "base/base64.h"
#include "base/str.h"
#include <stdint.h>

struct stream;
enum grpc_web { GRPC_WEB_NONE, GRPC_WEB_BINARY, GRPC_WEB_TEXT };

// By the request's content-type.
enum grpc_web grpc_web_of(const struct stream *stream);
// Before the head goes to an HTTP/2 endpoint: from now on the request's body is gRPC. What came
// already may be no base64: stream->is_bad_body.
void grpc_web_begin(struct stream *stream);
// Request body that came: into the queue. false: no base64.
bool grpc_web_add_request(struct stream *stream, struct str data);
// At the request's end: no four characters were begun and not ended.
bool grpc_web_is_whole(const struct stream *stream);
void grpc_web_add_response(struct stream *stream, struct str data);
void grpc_web_end_response(struct stream *stream); // its trailers become body
// The content-type of the other side.
struct str grpc_web_request_type(struct stream *stream);
struct str grpc_web_response_type(struct stream *stream);
