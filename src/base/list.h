// Intrusive doubly linked list. A node belongs to at most one list; an unlinked node points to itself, so removing it twice
// is harmless. Thread: the owner's.
#ifndef RINGWAY_BASE_LIST_H
#define RINGWAY_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_OWNER(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
#define LIST_EACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
// The body may remove `it`.
#define LIST_EACH_SAFE(it, head) \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_add_after(struct list *at, struct list *node)
{
    node->next = at->next;
    node->prev = at;
    at->next->prev = node;
    at->next = node;
}

static inline void list_push_front(struct list *l, struct list *node)
{
    list_add_after(l, node);
}

static inline void list_push_back(struct list *l, struct list *node)
{
    list_add_after(l->prev, node);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

// NULL if empty.
static inline struct list *list_pop_front(struct list *l)
{
    if (list_empty(l)) return NULL;
    struct list *node = l->next;
    list_remove(node);
    return node;
}

#endif
