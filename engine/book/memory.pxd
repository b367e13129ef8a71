"""What the compiled engine needs of the machine: bits, hints to compiler and processor, assertions, and memory in large
pages.

An array that grows for ever is copied at each step, and the step at a million orders would hold up all others for tens of
milliseconds. So a `Room` of 2 MB or more reserves sixteen times the addresses that it needs, which cost nothing until
they are used, and where even those run out Linux moves its pages without copying them. Where the system does not give so
many addresses, the array is as large as it must be, and is copied.
"""

from libc.stdint cimport uint64_t

cdef extern from * nogil:
    """
    #if defined(__linux__) && !defined(_GNU_SOURCE)
    #define _GNU_SOURCE
    #endif
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>

    #define JIBEK_HUGE ((size_t)2 << 20)

    /* What must hold whatever the input. A debug build (`make debug`) says where it does not; others do not ask. */
    #ifdef JIBEK_DEBUG
    #include <stdio.h>
    #define jibek_assert(condition) ((condition) ? (void)0 : jibek_assert_failed(__FILE__, __LINE__, #condition))
    static void jibek_assert_failed(const char *file, int line, const char *condition) {
        fprintf(stderr, "%s:%d: this must hold and does not: %s\\n", file, line, condition);
        abort();
    }
    #else
    #define jibek_assert(condition) ((void)0)
    #endif

    #define jibek_lowest_bit(word) __builtin_ctzll(word)
    #define jibek_highest_bit(word) (63 - __builtin_clzll(word))
    #define jibek_likely(condition) __builtin_expect(!!(condition), 1)
    #define jibek_unlikely(condition) __builtin_expect(!!(condition), 0)
    /* The empty statement keeps gcc from taking a function that only prefetches for one that does nothing. */
    #define jibek_prefetch(address) __extension__ ({ __builtin_prefetch(address); __asm__ volatile (""); })

    static inline void *jibek_allocate_at(size_t multiple, size_t size) {
        void *memory = NULL;
        return posix_memalign(&memory, multiple, size) == 0 ? memory : NULL;
    }

    /* Memory that starts on a cache line, in huge pages where it is large: random access then misses the TLB less. */
    static inline void *jibek_allocate(size_t size) {
        void *memory = jibek_allocate_at(size >= JIBEK_HUGE ? JIBEK_HUGE : 64, size);
        if (memory == NULL) return NULL;
    #if defined(MADV_HUGEPAGE)
        if (size >= JIBEK_HUGE) madvise(memory, size, MADV_HUGEPAGE);
    #endif
        return memory;
    }

    /* Memory that grows in place. `mapped` is the size of its mapping; 0 where it is from malloc. */
    struct jibek_room {
        void *memory;
        size_t size;
        size_t mapped;
    };

    /* Addresses at a multiple of a huge page; NULL where the system does not give them. Whether they are filled by huge pages
       or by small ones, of which no more becomes resident than is written. */
    static inline void *jibek_map(size_t size, int huge) {
        char *memory = mmap(NULL, size + JIBEK_HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
        size_t before;
        if (memory == MAP_FAILED) return NULL;
        before = (JIBEK_HUGE - (size_t)memory % JIBEK_HUGE) % JIBEK_HUGE;
        if (before) munmap(memory, before);
        if (JIBEK_HUGE - before) munmap(memory + before + size, JIBEK_HUGE - before);
    #if defined(MADV_HUGEPAGE)
        madvise(memory + before, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    #else
        (void)huge;
    #endif
        return memory + before;
    }

    static inline void jibek_room_free(struct jibek_room *room) {
        if (room->mapped) munmap(room->memory, room->mapped);
        else free(room->memory);
        memset(room, 0, sizeof *room);
    }

    static inline int jibek_room_grow_by(struct jibek_room *room, size_t used, size_t wanted, int huge) {
        struct jibek_room larger = {NULL, wanted, 0};
        if (wanted <= room->size) return 1;
        if (wanted >= (huge ? JIBEK_HUGE : JIBEK_HUGE / 32)) {
            larger.mapped = (wanted * 16 + JIBEK_HUGE - 1) / JIBEK_HUGE * JIBEK_HUGE;
            larger.memory = jibek_map(larger.mapped, huge);
            if (larger.memory == NULL) larger.mapped = 0;
            else larger.size = larger.mapped;
        }
        if (larger.memory == NULL) larger.memory = jibek_allocate(wanted);
        if (larger.memory == NULL) return 0;
    #if defined(MREMAP_FIXED)
        if (larger.mapped && room->mapped && mremap(room->memory, room->mapped, room->mapped,
                                                    MREMAP_MAYMOVE | MREMAP_FIXED, larger.memory) != MAP_FAILED) {
            *room = larger;
            return 1;
        }
    #endif
        if (used) memcpy(larger.memory, room->memory, used);
        jibek_room_free(room);
        *room = larger;
        return 1;
    }

    /* Makes room for `wanted` bytes and keeps the first `used`; 0 where memory is out, and nothing has changed. */
    static inline int jibek_room_grow(struct jibek_room *room, size_t used, size_t wanted) {
        return jibek_room_grow_by(room, used, wanted, 1);
    }

    /* The same in small pages, for what is seldom read: it takes no more memory than is written. */
    static inline int jibek_room_grow_lean(struct jibek_room *room, size_t used, size_t wanted) {
        return jibek_room_grow_by(room, used, wanted, 0);
    }
    """
    int jibek_lowest_bit(uint64_t word)
    int jibek_highest_bit(uint64_t word)
    bint jibek_likely(bint condition)
    bint jibek_unlikely(bint condition)
    void jibek_prefetch(const void* address)
    # One condition a call, with no `and` in it: other builds leave out only what is inside the macro's brackets.
    void jibek_assert(bint condition)
    # Both are released with libc's free, and are NULL where memory is out.
    void* jibek_allocate(size_t size)
    # At a multiple of a power of two.
    void* jibek_allocate_at(size_t multiple, size_t size)

    ctypedef struct Room "struct jibek_room":
        void* memory
        size_t size
    bint room_grow "jibek_room_grow"(Room* room, size_t used, size_t wanted)
    bint room_grow_lean "jibek_room_grow_lean"(Room* room, size_t used, size_t wanted)
    void room_free "jibek_room_free"(Room* room)
