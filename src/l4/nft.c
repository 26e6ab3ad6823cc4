// SPDX-License-Identifier: Apache-2.0
#include "l4/nft.h"
#include "l4/netlink.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h> // before the kernel's headers, which then leave its types to it

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct nft {
    struct nft_ctx *context;
};

// ---- the kernel's own answers ----

static void begin(struct netlink *netlink, struct netlink_request *request, uint16_t type,
                  uint16_t flags)
{
    struct nfgenmsg header = {.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0};
    netlink_begin(netlink, request, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, &header,
                  sizeof header);
}

static int ask(struct netlink *netlink, struct netlink_request *request, netlink_message_fn take,
               void *arg)
{
    int result = netlink_open(netlink, NETLINK_NETFILTER);
    if (result < 0)
        return result;
    result = netlink_run(netlink, request, take, arg);
    netlink_close(netlink);
    return result;
}

// A question that every kernel with nftables answers to who may change them.
static int probe(void)
{
    struct netlink netlink = {.fd = -1};
    struct netlink_request request = {0};
    begin(&netlink, &request, NFT_MSG_GETGEN, NLM_F_ACK);
    return ask(&netlink, &request, NULL, NULL);
}

static void take_table(void *arg, const struct nlmsghdr *message)
{
    struct nft_table *table = arg;
    table->is_there = true;
    const struct nlattr *owner =
        netlink_find(message, sizeof(struct nfgenmsg), NFTA_TABLE_OWNER, sizeof(uint32_t));
    if (owner)
        table->owner = ntohl(netlink_get_u32(owner));
}

int nft_find_table(const char *name, struct nft_table *ret_table)
{
    *ret_table = (struct nft_table){0};
    struct netlink netlink = {.fd = -1};
    struct netlink_request request = {0};
    begin(&netlink, &request, NFT_MSG_GETTABLE, NLM_F_ACK);
    netlink_put_text(&request, NFTA_TABLE_NAME, name);
    int result = ask(&netlink, &request, take_table, ret_table);
    return result == -ENOENT ? 0 : result;
}

int nft_find_set(const char *table, const char *set, bool *ret_is_there)
{
    struct netlink netlink = {.fd = -1};
    struct netlink_request request = {0};
    begin(&netlink, &request, NFT_MSG_GETSET, NLM_F_ACK);
    netlink_put_text(&request, NFTA_SET_TABLE, table);
    netlink_put_text(&request, NFTA_SET_NAME, set);
    int result = ask(&netlink, &request, NULL, NULL);
    *ret_is_there = result == 0;
    return result == -ENOENT ? 0 : result;
}

static void take_elements(void *arg, const struct nlmsghdr *message)
{
    const struct nlattr *list =
        netlink_find(message, sizeof(struct nfgenmsg), NFTA_SET_ELEM_LIST_ELEMENTS, NLA_HDRLEN);
    if (list)
        *(bool *)arg = false;
}

int nft_set_is_empty(const char *table, const char *set, bool *ret_is_empty)
{
    *ret_is_empty = true;
    struct netlink netlink = {.fd = -1};
    struct netlink_request request = {0};
    begin(&netlink, &request, NFT_MSG_GETSETELEM, NLM_F_DUMP);
    netlink_put_text(&request, NFTA_SET_ELEM_LIST_TABLE, table);
    netlink_put_text(&request, NFTA_SET_ELEM_LIST_SET, set);
    return ask(&netlink, &request, take_elements, ret_is_empty);
}

// ---- elements ----

static void mark_batch(struct netlink *netlink, struct netlink_request *request, uint16_t type)
{
    struct nfgenmsg header = {.version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES)};
    netlink_begin(netlink, request, type, 0, &header, sizeof header);
}

static void put_elements(struct netlink *netlink, struct netlink_request *request, uint16_t type,
                         const char *table, const char *set, const uint8_t *keys, size_t n)
{
    uint16_t flags = type == NFT_MSG_NEWSETELEM ? NLM_F_ACK | NLM_F_CREATE : NLM_F_ACK;
    begin(netlink, request, type, flags);
    netlink_put_text(request, NFTA_SET_ELEM_LIST_TABLE, table);
    netlink_put_text(request, NFTA_SET_ELEM_LIST_SET, set);
    size_t list = netlink_nest(request, NFTA_SET_ELEM_LIST_ELEMENTS);
    for (size_t i = 0; i < n; i++) {
        size_t element = netlink_nest(request, NFTA_LIST_ELEM);
        size_t key = netlink_nest(request, NFTA_SET_ELEM_KEY);
        netlink_put(request, NFTA_DATA_VALUE, &keys[i], 1);
        netlink_nest_end(request, key);
        netlink_nest_end(request, element);
    }
    netlink_nest_end(request, list);
}

// Whatever was there, after it the elements are there (or not): adding what is there is no error,
// taking out what is not there would be one. An element that expires between two messages of the
// transaction makes it fail; the next try finds it gone.
static int change_elements(struct netlink *netlink, const char *table, const char *set,
                           const uint8_t *keys, size_t n, bool are_wanted)
{
    int result = 0;
    for (unsigned tries = 0; tries < 3; tries++) {
        struct netlink_request request = {0};
        mark_batch(netlink, &request, NFNL_MSG_BATCH_BEGIN);
        put_elements(netlink, &request, NFT_MSG_NEWSETELEM, table, set, keys, n);
        put_elements(netlink, &request, NFT_MSG_DELSETELEM, table, set, keys, n);
        if (are_wanted)
            put_elements(netlink, &request, NFT_MSG_NEWSETELEM, table, set, keys, n);
        mark_batch(netlink, &request, NFNL_MSG_BATCH_END);
        result = netlink_run(netlink, &request, NULL, NULL);
        bool is_there = false;
        if (result != -ENOENT || nft_find_set(table, set, &is_there) < 0 || !is_there)
            break;
    }
    return result;
}

int nft_refresh_elements(struct netlink *netlink, const char *table, const char *set,
                         const uint8_t *keys, size_t n)
{
    return change_elements(netlink, table, set, keys, n, true);
}

int nft_remove_elements(struct netlink *netlink, const char *table, const char *set,
                        const uint8_t *keys, size_t n)
{
    return change_elements(netlink, table, set, keys, n, false);
}

// ---- libnftables ----

struct nft *nft_open(struct buf *reterr)
{
    // libnftables would end the process where there is no netlink socket to be had.
    int result = probe();
    if (result == -EPERM) {
        buf_add_text(reterr, "nftables may be changed with the capability NET_ADMIN alone");
        return NULL;
    }
    if (result == -EPROTONOSUPPORT || result == -EINVAL || result == -EOPNOTSUPP) {
        buf_add_text(reterr, "the kernel has no nftables (its module is called nf_tables)");
        return NULL;
    }
    if (result < 0) {
        buf_printf(reterr, "nftables: %s", strerror(-result));
        return NULL;
    }
    struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!context) {
        buf_add_text(reterr, "nftables: libnftables could not be started");
        return NULL;
    }
    nft_ctx_buffer_output(context);
    nft_ctx_buffer_error(context);
    struct nft *nft = calloc(1, sizeof *nft);
    if (nft)
        nft->context = context;
    else
        nft_ctx_free(context);
    return nft;
}

void nft_close(struct nft *nft)
{
    if (!nft)
        return;
    nft_ctx_free(nft->context);
    free(nft);
}

// "/proc/self/fd/5:3:1-20: Error: Could not process rule: No such file or directory" and the source
// with a ruler, as "No such file or directory, at: ip daddr ...".
static void explain(const char *text, const char *error, struct buf *reterr)
{
    struct str first = str_of(error), rest = first;
    str_next(&rest, '\n', &first);
    uint64_t line = 0;
    struct str where = first, part;
    if (str_next(&where, ':', &part) && str_next(&where, ':', &part))
        str_to_u64(part, UINT32_MAX, &line);
    const char *message = strstr(error, "Error: ");
    if (message && message < first.ptr + first.len)
        first = str_from(first, (size_t)(message - first.ptr) + strlen("Error: "));
    const struct str prefix = STR("Could not process rule: ");
    if (str_has_prefix(first, prefix))
        first = str_from(first, prefix.len);
    buf_printf(reterr, "nftables: %.*s", STR_ARG(first.len ? first : STR("unknown error")));
    rest = str_of(text);
    for (uint64_t i = 0; i < line && str_next(&rest, '\n', &part); i++) {
        if (i + 1 == line)
            buf_printf(reterr, ", at: %.*s", STR_ARG(str_trim(part)));
    }
}

// The kernel's errno by its words: libnftables does not hand it on.
static int error_number(const char *error)
{
    static const int numbers[] = {EPERM,  ENOENT, EEXIST,     EBUSY,  EINVAL,
                                  ENOMEM, ENOSPC, EOPNOTSUPP, ENODEV, EAFNOSUPPORT};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strstr(error, strerror(numbers[i])))
            return -numbers[i];
    }
    return -EINVAL;
}

// A file in memory with the text: of a file libnftables says where in it the mistake is.
static int open_text(const char *text, char path[32], struct buf *reterr)
{
    int fd = memfd_create("nftables", MFD_CLOEXEC);
    size_t len = strlen(text);
    if (fd < 0 || write(fd, text, len) != (ssize_t)len) {
        int error = errno;
        buf_printf(reterr, "nftables: a file in memory: %s", strerror(error));
        if (fd >= 0)
            close(fd);
        return -error;
    }
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

int nft_apply(struct nft *nft, const char *text, struct buf *reterr)
{
    char path[32];
    int fd = open_text(text, path, reterr);
    if (fd < 0)
        return fd;
    int result = nft_run_cmd_from_filename(nft->context, path);
    const char *error = nft_ctx_get_error_buffer(nft->context);
    nft_ctx_get_output_buffer(nft->context); // both are emptied by being read
    close(fd);
    if (result == 0)
        return 0;
    explain(text, error, reterr);
    return error_number(error);
}

bool nft_list(struct nft *nft, const char *command, struct buf *out, struct buf *reterr)
{
    int result = nft_run_cmd_from_buffer(nft->context, command);
    const char *error = nft_ctx_get_error_buffer(nft->context);
    const char *output = nft_ctx_get_output_buffer(nft->context);
    if (result == 0)
        buf_add_text(out, output);
    else
        explain(command, error, reterr);
    return result == 0;
}
