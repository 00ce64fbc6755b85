// Logarithm and exponential without branches, so that loops over them become vector instructions.
//
// Reductions and coefficients are those of fdlibm's e_log.c and e_exp.c; both are good to about
// one unit in the last place.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace mpiapp {

constexpr double tiny = 1e-300;
constexpr double ln2_high = 6.93147180369123816490e-01;
constexpr double ln2_low = 1.90821492927058770002e-10;

inline std::uint64_t bits_of(double x) {
    std::uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline double from_bits(std::uint64_t bits) {
    double x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

// x with a mantissa of 40 bits, so that numbers that differ by rounding alone are equal.
inline double round_to_40_bits(double x) {
    return from_bits((bits_of(x) + 0x1000u) & ~std::uint64_t{0x1FFF});
}

// Natural logarithm; anything below 1e-300, zero and negative numbers too, counts as 1e-300.
inline double quick_log(double x) {
    constexpr std::uint64_t sqrt_half = 0x3FE6A09E00000000, one = 0x3FF0000000000000;
    constexpr std::uint64_t mantissa = 0x000FFFFFFFFFFFFF;
    constexpr std::int64_t bits_of_tiny = 0x01A56E1FC2F8F359;
    // An integer in the mantissa of 2⁵²: few processors convert integers in vectors.
    constexpr std::uint64_t two_to_52 = 0x4330000000000000;
    // The larger of integers, since compilers make a branch of the larger of numbers.
    const auto bits = static_cast<std::int64_t>(bits_of(x));
    const std::uint64_t shifted = std::max(bits, bits_of_tiny) + (one - sqrt_half);
    const double k = from_bits((shifted >> 52) | two_to_52) - (0x1p52 + 1023.0);
    const double f = from_bits((shifted & mantissa) + sqrt_half) - 1.0;
    const double s = f / (2.0 + f), z = s * s, w = z * z;
    const double odd =
        w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373));
    const double even =
        z * (0.6666666666666735 +
             w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)));
    const double half = 0.5 * f * f;
    return k * ln2_high - ((half - (s * (half + odd + even) + k * ln2_low)) - f);
}

// Exponential of x < 700; below e⁻⁷⁰⁰ it stays there.
inline double quick_exp(double x) {
    x = std::max(x, -700.0);
    const double k = std::floor(x * 1.4426950408889634 + 0.5);
    const double high = x - k * ln2_high, low = k * ln2_low;
    const double r = high - low, t = r * r;
    const double c = r - t * (0.16666666666666602 +
                              t * (-0.0027777777777015593 +
                                   t * (6.613756321437934e-05 + t * (-1.6533902205465252e-06 +
                                                                     t * 4.1381367970572385e-08))));
    const double y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    return y * from_bits(bits_of(k + (0x1p52 + 1023.0)) << 52);
}

}  // namespace mpiapp
