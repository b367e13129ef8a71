"""What the compiled engine needs of the machine: bits, hints to compiler and processor, and memory in large pages."""

from libc.stdint cimport uint64_t

cdef extern from * nogil:
    """
    #include <stdlib.h>
    #include <string.h>
    #if defined(__linux__)
    #include <sys/mman.h>
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
        const size_t huge = (size_t)2 << 20;
        void *memory = jibek_allocate_at(size >= huge ? huge : 64, size);
        if (memory == NULL) return NULL;
    #if defined(MADV_HUGEPAGE)
        if (size >= huge) madvise(memory, size, MADV_HUGEPAGE);
    #endif
        return memory;
    }
    """
    int jibek_lowest_bit(uint64_t word)
    int jibek_highest_bit(uint64_t word)
    bint jibek_likely(bint condition)
    bint jibek_unlikely(bint condition)
    void jibek_prefetch(const void* address)
    # Both are released with libc's free, and are NULL where memory is out.
    void* jibek_allocate(size_t size)
    # At a multiple of a power of two.
    void* jibek_allocate_at(size_t multiple, size_t size)
