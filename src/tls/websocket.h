// SPDX-License-Identifier: Apache-2.0
// The answer to a WebSocket's key (RFC 6455, 4.2.2). Any thread.
#pragma once
#include "base/str.h"

enum { WEBSOCKET_ACCEPT_BYTES = 28, WEBSOCKET_KEY_BYTES = 24 };
void websocket_accept(struct str key, char out[WEBSOCKET_ACCEPT_BYTES + 1]);
// 16 bytes as a key, base64.
void websocket_key(const unsigned char random[16], char out[WEBSOCKET_KEY_BYTES + 1]);
