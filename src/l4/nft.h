// SPDX-License-Identifier: Apache-2.0
// nftables of this network namespace: transactions through libnftables, which no other file knows,
// and questions straight to the kernel where the answer must be exact. Control thread.
#pragma once
#include "base/buf.h"

struct nft; // owns a context of libnftables, and by its socket every table with `flags owner`

// NULL: *reterr says why, in one line: no privilege, no nftables in the kernel.
struct nft *nft_open(struct buf *reterr);
// The kernel removes the tables that this one owns.
void nft_close(struct nft *nft);

// Applies the text as one transaction: all of it or nothing. 0, or the kernel's -errno (-EINVAL
// where the text is wrong); *reterr then says why in one line, with the line of the text that was
// refused.
int nft_apply(struct nft *nft, const char *text, struct buf *reterr);
// Adds what the command (`list table ...`) prints to *out.
bool nft_list(struct nft *nft, const char *command, struct buf *out, struct buf *reterr);

struct nft_table {
    bool is_there;
    uint32_t owner; // the netlink port that holds it, most often a process id; 0: none does
};
// Of the family inet. 0 or -errno.
int nft_find_table(const char *name, struct nft_table *ret_table);
int nft_find_set(const char *table, const char *set, bool *ret_is_there);
int nft_set_is_empty(const char *table, const char *set, bool *ret_is_empty);

// Puts the elements (a byte each) into a set whose elements expire, with their whole time before
// them, or takes them out. One transaction: at no moment is one of them missing that was there.
// -ENOENT: no such table or set.
struct netlink; // of NETLINK_NETFILTER
int nft_refresh_elements(struct netlink *netlink, const char *table, const char *set,
                         const uint8_t *keys, size_t n);
int nft_remove_elements(struct netlink *netlink, const char *table, const char *set,
                        const uint8_t *keys, size_t n);
