// VECTORISED before a function compiles it with all that it calls for several generations of
// processors; the one that fits is taken when the program is loaded.

#pragma once

#include <cstddef>  // says whether this is glibc

#if !defined(__x86_64__) || !defined(__GLIBC__) || !defined(__GNUC__) || defined(__clang__)
#define VECTORISED
#elif __GNUC__ >= 12
#define VECTORISED \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), flatten))
#else  // earlier compilers know processors by their instructions alone
#define VECTORISED __attribute__((target_clones("avx512f", "avx2", "default"), flatten))
#endif

// INDEPENDENT before a loop says that its arrays do not overlap, where they are too many for the
// compiler to have that checked.
#if defined(__GNUC__) && !defined(__clang__)
#define INDEPENDENT _Pragma("GCC ivdep")
#else
#define INDEPENDENT
#endif
