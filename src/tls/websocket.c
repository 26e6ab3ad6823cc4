// SPDX-License-Identifier: Apache-2.0
#include "tls/websocket.h"
#include "base/check.h"
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

void websocket_accept(struct str key, char out[WEBSOCKET_ACCEPT_BYTES + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char text[256 + sizeof guid], digest[SHA_DIGEST_LENGTH];
    size_t n = key.len < 256 ? key.len : 256;
    if (n > 0)
        memcpy(text, key.ptr, n);
    memcpy(text + n, guid, sizeof guid - 1);
    CHECK(EVP_Digest(text, n + sizeof guid - 1, digest, NULL, EVP_sha1(), NULL) == 1);
    EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
}

void websocket_key(const unsigned char random[16], char out[WEBSOCKET_KEY_BYTES + 1])
{
    EVP_EncodeBlock((unsigned char *)out, random, 16);
}
