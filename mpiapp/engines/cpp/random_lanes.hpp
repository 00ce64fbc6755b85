// Random numbers of many lanes at once, each with a generator of its own: xoshiro256++ (Blackman &
// Vigna 2021).

#pragma once

#include <cstdint>

#include "cpp/arrays.hpp"

namespace mpiapp {

using States = View<std::uint64_t, 2>;  // (4, lanes), advanced; seeded in random_lanes.py

inline std::uint64_t rotate_left(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

// out (lanes), written: the next number in (0, 1) of each lane.
inline void fill_uniform(States state, View<double> out) {
    std::uint64_t* const row0 = state[0].data();
    std::uint64_t* const row1 = state[1].data();
    std::uint64_t* const row2 = state[2].data();
    std::uint64_t* const row3 = state[3].data();
    for (Index i = 0; i < out.size(); ++i) {
        std::uint64_t s0 = row0[i], s1 = row1[i], s2 = row2[i], s3 = row3[i];
        const std::uint64_t result = rotate_left(s0 + s3, 23) + s0, t = s1 << 17;
        s2 ^= s0;
        s3 ^= s1;
        s1 ^= s2;
        s0 ^= s3;
        s2 ^= t;
        row0[i] = s0;
        row1[i] = s1;
        row2[i] = s2;
        row3[i] = rotate_left(s3, 45);
        out[i] = (static_cast<double>(static_cast<std::int64_t>(result >> 11)) + 0.5) * 0x1p-53;
    }
}

}  // namespace mpiapp
