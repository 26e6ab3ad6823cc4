// SPDX-License-Identifier: Apache-2.0
#include "l4/netlink.h"
#include "base/check.h"
#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    ANSWER_BYTES = 32768, // the kernel's largest datagram of a dump
    ANSWER_TIMEOUT_S = 5, // never needed: the kernel answers before send(2) returns
};

int netlink_open(struct netlink *netlink, int protocol)
{
    *netlink = (struct netlink){.fd = -1};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -errno;
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    netlink->fd = fd;
    return 0;
}

void netlink_close(struct netlink *netlink)
{
    if (netlink->fd >= 0)
        close(netlink->fd);
    netlink->fd = -1;
}

// ---- writing ----

static void *add(struct netlink_request *request, const void *data, size_t len)
{
    size_t padded = NLMSG_ALIGN(len);
    CHECK(request->len + padded <= sizeof request->data);
    void *at = request->data + request->len;
    memset(at, 0, padded);
    if (data)
        memcpy(at, data, len);
    request->len += padded;
    return at;
}

// Messages are as long as what was added to them.
static void update_length(struct netlink_request *request)
{
    struct nlmsghdr *header = (struct nlmsghdr *)(void *)(request->data + request->message);
    header->nlmsg_len = (uint32_t)(request->len - request->message);
}

void netlink_begin(struct netlink *netlink, struct netlink_request *request, uint16_t type,
                   uint16_t flags, const void *header, size_t header_len)
{
    request->message = request->len;
    struct nlmsghdr message = {
        .nlmsg_type = type,
        .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
        .nlmsg_seq = ++netlink->sequence,
    };
    add(request, &message, sizeof message);
    add(request, header, header_len);
    update_length(request);
    if (flags & NLM_F_ACK)
        request->n_answers++;
}

void netlink_put(struct netlink_request *request, uint16_t type, const void *data, size_t len)
{
    struct nlattr attribute = {.nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type};
    add(request, &attribute, sizeof attribute);
    add(request, data, len);
    update_length(request);
}

void netlink_put_u32(struct netlink_request *request, uint16_t type, uint32_t value)
{
    netlink_put(request, type, &value, sizeof value);
}

void netlink_put_text(struct netlink_request *request, uint16_t type, const char *text)
{
    netlink_put(request, type, text, strlen(text) + 1);
}

size_t netlink_nest(struct netlink_request *request, uint16_t type)
{
    size_t nest = request->len;
    netlink_put(request, type | NLA_F_NESTED, NULL, 0);
    return nest;
}

void netlink_nest_end(struct netlink_request *request, size_t nest)
{
    struct nlattr *attribute = (struct nlattr *)(void *)(request->data + nest);
    attribute->nla_len = (uint16_t)(request->len - nest);
}

// ---- answers ----

struct answers {
    uint32_t first, last; // sequence numbers of the request
    unsigned left;
    bool is_dump;
    int error; // the first one, -errno
    netlink_message_fn on_message;
    void *arg;
};

static void take_message(struct answers *answers, const struct nlmsghdr *message)
{
    if (message->nlmsg_seq - answers->first > answers->last - answers->first)
        return; // late, of an earlier request that had failed
    if (message->nlmsg_type == NLMSG_DONE) {
        answers->left = 0;
    } else if (message->nlmsg_type == NLMSG_ERROR) {
        const struct nlmsgerr *error = NLMSG_DATA(message);
        if (message->nlmsg_len < NLMSG_LENGTH(sizeof *error))
            answers->error = -EBADMSG;
        else if (error->error != 0)
            answers->error = error->error;
        else if (answers->left > 0)
            answers->left--;
    } else if (answers->on_message) {
        answers->on_message(answers->arg, message);
    }
    // A dump during which something changed may lack an entry or have it twice.
    if (answers->is_dump && message->nlmsg_flags & NLM_F_DUMP_INTR)
        answers->error = -EINTR;
}

int netlink_run(struct netlink *netlink, struct netlink_request *request,
                netlink_message_fn on_message, void *arg)
{
    const struct nlmsghdr *first = (const struct nlmsghdr *)(void *)request->data;
    const struct nlmsghdr *last =
        (const struct nlmsghdr *)(void *)(request->data + request->message);
    struct answers answers = {
        .first = first->nlmsg_seq,
        .last = last->nlmsg_seq,
        .left = request->n_answers,
        .is_dump = (last->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP,
        .on_message = on_message,
        .arg = arg,
    };
    if (answers.is_dump)
        answers.left = 1;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t n;
    do
        n = sendto(netlink->fd, request->data, request->len, 0, (struct sockaddr *)&kernel,
                   sizeof kernel);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    _Alignas(8) uint8_t data[ANSWER_BYTES];
    while (answers.left > 0 && answers.error == 0) {
        n = recv(netlink->fd, data, sizeof data, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        unsigned left = (unsigned)n;
        for (const struct nlmsghdr *message = (const void *)data; NLMSG_OK(message, left);
             message = NLMSG_NEXT(message, left)) {
            if (answers.error == 0)
                take_message(&answers, message);
        }
    }
    return answers.error;
}

const struct nlattr *netlink_find(const struct nlmsghdr *message, size_t header_len, uint16_t type,
                                  size_t len_min)
{
    size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(header_len), end = message->nlmsg_len;
    while (at + NLA_HDRLEN <= end) {
        const struct nlattr *attribute = (const void *)((const char *)message + at);
        if (attribute->nla_len < NLA_HDRLEN || attribute->nla_len > end - at)
            return NULL;
        if ((attribute->nla_type & NLA_TYPE_MASK) == type)
            return attribute->nla_len >= NLA_HDRLEN + len_min ? attribute : NULL;
        at += NLA_ALIGN(attribute->nla_len);
    }
    return NULL;
}

uint32_t netlink_get_u32(const struct nlattr *attribute)
{
    uint32_t value;
    memcpy(&value, (const char *)attribute + NLA_HDRLEN, sizeof value);
    return value;
}
