// SPDX-License-Identifier: Apache-2.0
// Intrusive doubly linked list with a head node. A node that is in no list points to itself.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};

#define LIST_ENTRY(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *node)
{
    node->prev = node->next = node;
}
static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}
static inline void list_insert_after(struct list *at, struct list *node)
{
    node->prev = at;
    node->next = at->next;
    at->next->prev = node;
    at->next = node;
}
static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert_after(head, node);
}
static inline void list_push_back(struct list *head, struct list *node)
{
    list_insert_after(head->prev, node);
}
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
