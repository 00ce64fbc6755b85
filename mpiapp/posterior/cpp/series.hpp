// The catalog's mode and bounds in the limit of infinitely many draws, from a Chebyshev series.
//
// The MPDF is an expectation of the kernel under the posterior p, so that its limit is p ⊗ kernel
// on the range of the prior, and no draw is needed.  With an Epanechnikov kernel of half-width h
// the smoothed density and its integral at y are polynomials in y whose coefficients are moments
// of p over y ± h, that is differences of
//
//     A_k(x) = ∫₋₁ˣ tᵏ p(t) dt,   k = 0…3,
//
// which are Chebyshev series again.  p is log-concave, so is the kernel, and so the smoothed
// density: its mode is unique.  All positions are in units in which the series lives on [−1, 1].
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "cpp/arrays.hpp"
#include "cpp/vectorised.hpp"
#include "posterior/cpp/smoothing.hpp"

namespace mpiapp {

// Fills c (n,) with the coefficients of the series through values (n,) at n Chebyshev nodes x.
inline void interpolate(View<const double> x, View<const double> values, View<double> c) {
    const Index n = x.size();
    std::vector<double> before(n, 1.0), now(x.begin(), x.end());
    for (Index k = 0; k < n; ++k) {
        double total = 0.0;
        for (Index j = 0; j < n; ++j) {
            total += values[j] * before[j];
            const double next = 2.0 * x[j] * now[j] - before[j];
            before[j] = now[j];
            now[j] = next;
        }
        c[k] = total * (k ? 2.0 : 1.0) / n;
    }
}

// The series c at x (Clenshaw).
inline double chebyshev(View<const double> c, double x) {
    double p = 0.0, q = 0.0;
    for (Index j = c.size() - 1; j > 0; --j) {
        const double next = (c[j] - q) + 2.0 * x * p;
        q = p;
        p = next;
    }
    return (c[0] - q) + x * p;
}

// The integrals A_0 … A_3 of a density, and the smoothed density that follows from them.
class Integrals {
  public:
    struct Moments {
        double mean, std;
    };
    // Of the smoothed posterior, neither cut nor normalised.
    struct Smoothed {
        double below, density, slope;  // below: the integral up to the point
    };

    // c: Chebyshev series of the density, of any norm.
    explicit Integrals(View<const double> c) : series_(c.size() + 4) {
        const Index size = c.size() + 4;
        std::vector<double> w(size + 1, 0.0), shifted(size + 1, 0.0);  // of tᵏ p(t), tᵏ⁺¹ p(t)
        std::copy(c.begin(), c.end(), w.begin());
        for (int k = 0; k < 4; ++k) {
            double at_left = 0.0, sign = -1.0;
            for (Index j = 1; j < size; ++j) {
                const double a = j == 1 ? w[0] - 0.5 * w[2] : (w[j - 1] - w[j + 1]) / (2.0 * j);
                series_[j][k] = a;
                at_left += sign * a;
                sign = -sign;
            }
            series_[0][k] = -at_left;
            shifted[0] = 0.5 * w[1];
            shifted[1] = w[0] + 0.5 * w[2];
            for (Index j = 2; j < size; ++j) shifted[j] = 0.5 * (w[j - 1] + w[j + 1]);
            std::copy_n(shifted.begin(), size, w.begin());
        }
        total_ = between(1.0, 1.0)[0];
    }

    // The integral of the density.
    double mass() const { return total_[0]; }

    // Mean and standard deviation of the posterior.
    Moments moments() const {
        const double mean = total_[1] / total_[0];
        return {mean, std::sqrt(std::max(total_[2] / total_[0] - mean * mean, 0.0))};
    }

    // What a kernel of half-width h makes of it at y.
    Smoothed smoothed(double h, double y) const {
        // Farther out nothing changes, and differences of equal numbers, which rounding may leave,
        // would be multiplied by (y/h)³.
        y = std::clamp(y, -1.0 - h, 1.0 + h);
        const auto [a, b] = between(y - h, y + h);
        const double d0 = b[0] - a[0], d1 = b[1] - a[1], d2 = b[2] - a[2], d3 = b[3] - a[3];
        const double h2 = h * h, h3 = h2 * h, y2 = y * y;
        const double cubic = y2 * y * d0 - 3.0 * y2 * d1 + 3.0 * y * d2 - d3;
        return {a[0] + 0.25 * (2.0 * d0 + 3.0 * (y * d0 - d1) / h - cubic / h3),
                0.75 / h * (d0 - (y2 * d0 - 2.0 * y * d1 + d2) / h2), 1.5 / h3 * (d1 - y * d0)};
    }

  private:
    using Four = std::array<double, 4>;
    using Vector = double __attribute__((vector_size(sizeof(Four))));

    // A_0 … A_3 at two points, constant beyond [−1, 1] (Clenshaw).
    VECTORISED std::array<Four, 2> between(double left, double right) const {
        const double l = std::clamp(left, -1.0, 1.0), r = std::clamp(right, -1.0, 1.0);
        Vector a, p = {}, q = {}, s = {}, t = {};  // p, q of the left point, s, t of the right one
        for (Index j = Index(series_.size()) - 1; j > 0; --j) {
            std::memcpy(&a, &series_[j], sizeof a);
            const Vector next = (a - q) + 2.0 * l * p, other = (a - t) + 2.0 * r * s;
            q = p;
            p = next;
            t = s;
            s = other;
        }
        std::memcpy(&a, &series_[0], sizeof a);
        const Vector found[2] = {(a - q) + l * p, (a - t) + r * s};
        std::array<Four, 2> out;
        std::memcpy(&out, &found, sizeof out);
        return out;
    }

    std::vector<Four> series_;
    Four total_;
};

constexpr double series_tolerance = 1e-11;  // of mode and bounds, in half-widths of the kernel

// Where the slope of the smoothed density changes sign between left and right (Illinois).
inline double smoothed_mode(const Integrals& A, double h, double left, double right, double start) {
    double x = std::min(std::max(start, left), right);
    double slope_left = A.smoothed(h, left).slope, slope_right = A.smoothed(h, right).slope;
    if (slope_left <= 0.0) return left;
    if (slope_right >= 0.0) return right;
    for (int n = 0; n < 100; ++n) {
        const double slope = A.smoothed(h, x).slope;
        if (slope > 0.0) {
            left = x;
            slope_left = slope;
            slope_right *= 0.5;  // an end that stays loses weight
        } else {
            right = x;
            slope_right = slope;
            slope_left *= 0.5;
        }
        const double room = right - left, least = 0.4 * series_tolerance * h;
        if (room < series_tolerance * h || slope == 0.0) break;
        const double step = room * slope_left / (slope_left - slope_right);
        x = n % 8 == 7 ? 0.5 * (left + right)
                       : left + std::min(std::max(step, least), room - least);
    }
    return x;
}

// The half-width about the middle that encloses the target, within [zero, top].
inline double smoothed_half_width(const Integrals& A, double h, double middle, double zero,
                                  double top, double target, double start) {
    double narrow = 0.0, wide = std::max(middle - zero, top - middle);
    double w = std::min(start, wide);
    for (int n = 0; n < 100; ++n) {
        const auto upper = A.smoothed(h, std::min(middle + w, top));
        const auto lower = A.smoothed(h, std::max(middle - w, zero));
        const double excess = upper.below - lower.below - target;
        (excess < 0.0 ? narrow : wide) = w;
        const double slope =
            (middle + w < top ? upper.density : 0.0) + (middle - w > zero ? lower.density : 0.0);
        const double step = slope > 0.0 ? excess / slope : std::numeric_limits<double>::infinity();
        if (std::abs(step) < series_tolerance * h || wide - narrow < series_tolerance * h) break;
        w -= step;
        if (!(narrow < w && w < wide) || n % 8 == 7) w = 0.5 * (narrow + wide);
    }
    return w;
}

// Mode and bounds of the smoothed posterior between zero and top, the bounds of the prior.
inline Interval summarise_series(const Integrals& A, double zero, double top,
                                 const Smoothing& smoothing) {
    const auto [mean, sigma] = A.moments();
    const double h = smoothing.bandwidth * sigma;
    // a log-concave density has its mode within √3 standard deviations of its mean
    const double reach =
        1.75 * sigma * std::sqrt(1.0 + 0.2 * smoothing.bandwidth * smoothing.bandwidth);
    const double left = std::max({zero, -1.0, mean - reach});
    const double right = std::min({top, 1.0, mean + reach});
    const double mode = smoothed_mode(A, h, left, right, mean);
    const double at_zero = A.smoothed(h, zero).below;
    const double target = smoothing.level * (A.smoothed(h, top).below - at_zero);
    if (A.smoothed(h, std::min(2.0 * mode - zero, top)).below - at_zero < target) {
        double hilim = 2.0 * mode - zero;
        if (smoothing.wants_quantile)
            hilim = zero + smoothed_half_width(A, h, zero, zero, top, target, 1.2 * sigma);
        return {mode, zero, hilim, true};
    }
    const double w = smoothed_half_width(A, h, mode, zero, top, target, 1.09 * sigma);
    return {mode, std::max(mode - w, zero), std::min(mode + w, top), false};
}

// Fills out (6,) with value, lolim, hilim, mode, mean and rms of a density on [lo, hi] whose prior
// ends at upper; value and lolim are 0 for an upper limit.  Returns what summarise_series does.
inline Interval catalog_numbers(const Integrals& A, double lo, double hi, double upper,
                                const Smoothing& smoothing, View<double> out) {
    const double centre = 0.5 * (hi + lo), half = 0.5 * (hi - lo);
    const auto found = summarise_series(A, -centre / half, (upper - centre) / half, smoothing);
    const auto [mean, rms] = A.moments();
    out[3] = centre + half * found.mode;
    out[0] = found.is_limit ? 0.0 : out[3];
    out[1] = found.is_limit ? 0.0 : std::max(centre + half * found.lolim, 0.0);
    out[2] = centre + half * found.hilim;
    out[4] = centre + half * mean;
    out[5] = half * rms;
    return found;
}

// Fills out (m,) with the density of series c at x (m,) in [−1, 1], of integral 1; where the series
// is negative 0.
inline void normalised_density(View<const double> c, const Integrals& A, View<const double> x,
                               View<double> out) {
    for (Index i = 0; i < x.size(); ++i) out[i] = std::max(chebyshev(c, x[i]) / A.mass(), 0.0);
}

// Fills out (m,) with the smoothed density at x (m,), normalised on [zero, top] and zero outside.
inline void smoothed_density(const Integrals& A, double zero, double top, double bandwidth,
                             View<const double> x, View<double> out) {
    const double h = bandwidth * A.moments().std;
    const double mass = A.smoothed(h, top).below - A.smoothed(h, zero).below;
    for (Index i = 0; i < x.size(); ++i)
        out[i] = zero <= x[i] && x[i] <= top ? A.smoothed(h, x[i]).density / mass : 0.0;
}

}  // namespace mpiapp
