"""Compacting an arena: the few orders that are left of many move to new memory and get new handles.

The owner begins, moves each ladder that shares the arena, replaces the handles that it keeps elsewhere, and ends:

    if compaction_begin(&arena, &compaction):
        compaction_move(&arena, &ladder, &compaction)
        compaction_end(&compaction, &ids)

Afterwards orders that are served one after the other lie one after the other. Cost: O(orders + orders that there once
were).
"""

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free

from engine.book.ladder cimport Arena, Ladder, Node, arena_grow, arena_init, ladder_best_level
from engine.book.memory cimport Room, jibek_assert, room_free
from engine.book.order_ids cimport OrderIds, ids_renumber
from engine.book.price_tree cimport Level, tree_worse_level

cdef struct Compaction:
    # The new handle of each old one, 0 for a free one; `handle_count` of them.
    uint32_t* handles
    uint32_t handle_count
    Room old_nodes


cdef inline bint compaction_reallocate(Arena* arena, Room* old_nodes) noexcept nogil:
    """Replaces an arena's nodes by empty ones for as many orders as it holds; `old_nodes` gets the old ones."""
    cdef Arena fresh
    arena_init(&fresh)
    while fresh.capacity <= arena.live:
        if not arena_grow(&fresh):
            room_free(&fresh.room)
            return False
    fresh.stock = arena.stock
    old_nodes[0] = arena.room
    arena[0] = fresh
    return True


cdef inline bint compaction_begin(Arena* arena, Compaction* compaction) noexcept nogil:
    """Gives an arena new memory; False, with nothing changed, if memory is out."""
    compaction.handle_count = arena.used
    compaction.handles = <uint32_t*>calloc(arena.used, sizeof(uint32_t))
    if compaction.handles == NULL:
        return False
    if not compaction_reallocate(arena, &compaction.old_nodes):
        free(compaction.handles)
        return False
    return True


cdef inline void compaction_move(Arena* arena, Ladder* ladder, Compaction* compaction) noexcept nogil:
    """Moves a ladder's orders to the new memory, in the order in which they are served."""
    cdef const Node* old = <const Node*>compaction.old_nodes.memory
    cdef Level* level
    cdef uint32_t handle, moved
    for is_ask in range(2):
        level = ladder_best_level(ladder, is_ask)
        while level != NULL:
            handle = level.first
            level.first = arena.used
            while handle:
                moved = arena.used
                arena.used += 1
                arena.live += 1
                jibek_assert(moved < arena.capacity)
                jibek_assert(old[handle].level == level)
                jibek_assert(old[handle].remaining_lots > 0)
                arena.nodes[moved] = old[handle]
                arena.nodes[moved].previous = moved - 1 if moved > level.first else 0
                arena.nodes[moved].next = moved + 1 if old[handle].next else 0
                compaction.handles[handle] = moved
                level.last = moved
                handle = old[handle].next
            level = tree_worse_level(level)


cdef inline void compaction_end(Compaction* compaction, OrderIds* ids) noexcept nogil:
    """Gives the ids their new handles after all ladders were moved, and frees the old memory."""
    ids_renumber(ids, compaction.handles)
    room_free(&compaction.old_nodes)
    free(compaction.handles)
