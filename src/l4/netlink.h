// SPDX-License-Identifier: Apache-2.0
// Requests to the kernel by netlink: messages with attributes, and their answers. Blocking, but
// the kernel answers within the call. Control thread.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nlattr;
struct nlmsghdr;

struct netlink {
    int fd; // -1: not open
    uint32_t sequence;
};

// One or more messages that go to the kernel at once. In the caller's memory.
struct netlink_request {
    _Alignas(4) uint8_t data[1024];
    size_t len, message; // offset of the last message
    unsigned n_answers;  // that are due: one for each message with NLM_F_ACK
};

int netlink_open(struct netlink *netlink, int protocol); // 0 or -errno
void netlink_close(struct netlink *netlink);

// Begins a message: its type, flags beside NLM_F_REQUEST, and the fixed header of its family.
void netlink_begin(struct netlink *netlink, struct netlink_request *request, uint16_t type,
                   uint16_t flags, const void *header, size_t header_len);
void netlink_put(struct netlink_request *request, uint16_t type, const void *data, size_t len);
void netlink_put_u32(struct netlink_request *request, uint16_t type, uint32_t value); // host order
void netlink_put_text(struct netlink_request *request, uint16_t type, const char *text);
size_t netlink_nest(struct netlink_request *request, uint16_t type); // returns what ends it
void netlink_nest_end(struct netlink_request *request, size_t nest);

// Sends and waits for every answer due. 0, or the first -errno that the kernel gave. `on_message`
// (may be NULL) gets what comes beside acknowledgements, also of a dump (NLM_F_DUMP).
typedef void (*netlink_message_fn)(void *arg, const struct nlmsghdr *message);
int netlink_run(struct netlink *netlink, struct netlink_request *request,
                netlink_message_fn on_message, void *arg);

// The attribute of that type behind the fixed header; NULL: none, or shorter than `len_min`.
const struct nlattr *netlink_find(const struct nlmsghdr *message, size_t header_len, uint16_t type,
                                  size_t len_min);
uint32_t netlink_get_u32(const struct nlattr *attribute);
