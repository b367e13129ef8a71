"""Asking for the memory of operations to come, so that it is in the processor's cache when they are executed.

Each piece needs what the one before it has brought, so an owner calls them for operations that are further and
further ahead: the slot of an order id, then the order's node, then its level, its neighbours and its leaf; the place
of a price's leaf, then the leaf and the level, then the order that is last there. A guess that turns out wrong does
no harm, and what names no order leads to node 0.
"""

from libc.stdint cimport int64_t, uint64_t

from engine.book.ladder cimport Arena, Ladder, Node, ladder_cached
from engine.book.memory cimport jibek_prefetch
from engine.book.order_ids cimport OrderIds, ids_guess, ids_prefetch
from engine.book.price_tree cimport Leaf, leaf_level, tree_leaf_of


# -- by order id


cdef inline void prefetch_slot(const OrderIds* ids, uint64_t order_id) noexcept nogil:
    """The place of an id's handle."""
    ids_prefetch(ids, order_id)


cdef inline Node* guessed_node(const OrderIds* ids, const Arena* arena, uint64_t order_id) noexcept nogil:
    """The node that an id most likely has; after its slot has come."""
    return &arena.nodes[ids_guess(ids, order_id)]


cdef inline void prefetch_node(const OrderIds* ids, const Arena* arena, uint64_t order_id) noexcept nogil:
    """The order itself; after its slot has come."""
    jibek_prefetch(guessed_node(ids, arena, order_id))


cdef inline void prefetch_neighbours(const OrderIds* ids, const Arena* arena, uint64_t order_id) noexcept nogil:
    """Its level and its neighbours in the queue; after its node has come. The arena must have had an order."""
    cdef const Node* node = guessed_node(ids, arena, order_id)
    jibek_prefetch(node.level)
    jibek_prefetch(&arena.nodes[node.next])
    jibek_prefetch(&arena.nodes[node.previous])


cdef inline void prefetch_leaf_of_node(const OrderIds* ids, const Arena* arena, uint64_t order_id) noexcept nogil:
    """The leaf of its level; after its node has come. The arena must have had an order."""
    jibek_prefetch(tree_leaf_of(guessed_node(ids, arena, order_id).level))


# -- by the key of a price


cdef inline void prefetch_leaf_slot(Ladder* ladder, int64_t key) noexcept nogil:
    """The place of a key's leaf."""
    jibek_prefetch(ladder_cached(ladder, key))


cdef inline void prefetch_level(Ladder* ladder, int64_t key) noexcept nogil:
    """The leaf and the level of a key; after the leaf's slot has come."""
    cdef Leaf* leaf = ladder_cached(ladder, key)[0]
    jibek_prefetch(leaf)
    jibek_prefetch(leaf_level(leaf, key))


cdef inline void prefetch_last(Ladder* ladder, const Arena* arena, int64_t key) noexcept nogil:
    """The order that is last at a key; after the level has come. The arena must have had an order."""
    jibek_prefetch(&arena.nodes[leaf_level(ladder_cached(ladder, key)[0], key).last])
