#include "core/heap/order.h"

/* Roots have no sibling and no previous. */
static struct psc_pool *meld(struct psc_pool *a, struct psc_pool *b) {
    if (a == NULL || b == NULL) {
        return a != NULL ? a : b;
    }
    struct psc_pool *top = a->order < b->order ? a : b;
    struct psc_pool *below = top == a ? b : a;
    below->sibling = top->child;
    below->previous = top;
    if (top->child != NULL) {
        top->child->previous = below;
    }
    top->child = below;
    return top;
}

static struct psc_pool *detach_next(struct psc_pool **list) {
    struct psc_pool *pool = *list;
    if (pool != NULL) {
        *list = pool->sibling;
        pool->sibling = pool->previous = NULL;
    }
    return pool;
}

/* Melds siblings in pairs from the left, then the pairs from the right. */
static struct psc_pool *meld_siblings(struct psc_pool *list) {
    struct psc_pool *pairs = NULL;
    while (list != NULL) {
        struct psc_pool *first = detach_next(&list);
        struct psc_pool *pair = meld(first, detach_next(&list));
        pair->sibling = pairs;
        pairs = pair;
    }
    struct psc_pool *root = NULL;
    while (pairs != NULL) {
        root = meld(root, detach_next(&pairs));
    }
    return root;
}

void psc_order_insert(struct psc_pool **root, struct psc_pool *pool) {
    pool->child = pool->sibling = pool->previous = NULL;
    *root = meld(*root, pool);
}

static void unlink_from_siblings(struct psc_pool *pool) {
    if (pool->previous->child == pool) {
        pool->previous->child = pool->sibling;
    } else {
        pool->previous->sibling = pool->sibling;
    }
    if (pool->sibling != NULL) {
        pool->sibling->previous = pool->previous;
    }
}

void psc_order_remove(struct psc_pool **root, struct psc_pool *pool) {
    struct psc_pool *children = meld_siblings(pool->child);
    if (*root == pool) {
        *root = children;
    } else {
        unlink_from_siblings(pool);
        *root = meld(*root, children);
    }
    pool->child = pool->sibling = pool->previous = NULL;
}
