// The density of draws smoothed by the catalog's kernel: its mode, bounds, upper limit and noise.
//
// The kernel is Epanechnikov's with a half-width in units of the rms of the draws about their mean
// (memo, section 3.1), without reflection at zero, on the range of the draws.  The density is then
// piecewise quadratic and its integral piecewise cubic, so that prefix sums over the sorted draws
// give both exactly: there is no grid, and mode and bounds carry no quantisation.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "cpp/arrays.hpp"
#include "posterior/cpp/buckets.hpp"
#include "posterior/cpp/smoothing.hpp"

namespace mpiapp {

class SmoothedDraws {
  public:
    struct Summary {
        Interval interval;
        double noise;  // of one independent draw, in half-widths of the interval
    };

    // Of a non-negative intensity; std::invalid_argument where they are constant, not finite or
    // negative.
    SmoothedDraws(View<const double> draws, double bandwidth)
        : z_(draws.size()), sums_(draws.size() + 1) {
        const Index n = draws.size();
        double total = 0.0, square = 0.0;
        for (const double x : draws) total += x;
        mean_ = total / n;
        for (const double x : draws) square += (x - mean_) * (x - mean_);
        h_ = bandwidth * std::sqrt(square / n);
        if (!(std::isfinite(h_) && h_ > 1e-12 * std::abs(mean_)))
            throw std::invalid_argument("the draws are constant or not finite");
        const double lowest = *std::min_element(draws.begin(), draws.end());
        if (lowest < 0.0) {
            std::ostringstream said;
            said << "a draw is negative: " << lowest;
            throw std::invalid_argument(said.str());
        }
        sort_by_buckets(draws, View<double>(z_.data(), {n}), [](double x) { return x; });
        for (double& z : z_) z = (z - mean_) / h_;
        for (Index i = 0; i < n; ++i) {
            double power = 1.0;
            for (int k = 0; k < 4; ++k, power *= z_[i]) sums_[i + 1][k] = sums_[i][k] + power;
        }
    }

    // Mode and bounds, in the unit of the draws.  The interval grows symmetrically about the mode
    // until it encloses `level`; where it reaches zero first the result is an upper limit.
    Summary summarise(double level, bool wants_quantile) const {
        const double zero = -mean_ / h_, first = z_.front(), last = z_.back();
        const double mode = find_mode(), target = level * enclosed(first, last);
        if (enclosed(zero, 2.0 * mode - zero) < target) {
            double limit = 2.0 * mode - zero;
            // centred on the lower end, the half-width that holds the target is the quantile
            if (wants_quantile) limit = first + half_width(first, last - first, target);
            const double noise = noise_of(mode, zero, limit, true, wants_quantile);
            const double top = mean_ + h_ * mode;
            return {{top, 0.0, wants_quantile ? mean_ + h_ * limit : 2.0 * top, true}, noise};
        }
        const double w = half_width(mode, mode - zero, target);
        const double lo = std::max(mode - w, first), hi = std::min(mode + w, last);
        return {{mean_ + h_ * mode, std::max(mean_ + h_ * lo, 0.0), mean_ + h_ * hi, false},
                noise_of(mode, lo, hi, false, false)};
    }

    // Per unit of x; zero outside the range of the draws, on which its integral is 1.
    double density(double x) const {
        const double t = (x - mean_) / h_;
        if (t < z_.front() || t > z_.back()) return 0.0;
        const Window near = about(t);
        const double height = near.n * (1.0 - t * t) + 2.0 * t * near.s1 - near.s2;
        return 0.75 * height / (h_ * z_.size() * enclosed(z_.front(), z_.back()));
    }

  private:
    // The draws less than the kernel's half-width from a point: number and sums of z, z², z³.
    struct Window {
        double before, n, s1, s2, s3;  // before: draws that are lower
    };

    Window window(Index left, Index right) const {
        const auto &a = sums_[left], &b = sums_[right];
        return {a[0], b[0] - a[0], b[1] - a[1], b[2] - a[2], b[3] - a[3]};
    }

    Window about(double t) const {
        const auto left = std::upper_bound(z_.begin(), z_.end(), t - 1.0);
        const auto right = std::lower_bound(left, z_.end(), t + 1.0);
        return window(left - z_.begin(), right - z_.begin());
    }

    // Integral of the smoothed density up to t: the mean of (2 + 3u − u³)/4 over u = t − z.
    double below(double t) const {
        const auto [before, n, s1, s2, s3] = about(t);
        const double u1 = n * t - s1;
        const double u3 = n * t * t * t - 3.0 * t * t * s1 + 3.0 * t * s2 - s3;
        return (before + (2.0 * n + 3.0 * u1 - u3) / 4.0) / z_.size();
    }

    double enclosed(double a, double b) const {
        return below(std::min(b, z_.back())) - below(std::max(a, z_.front()));
    }

    // The highest point of the smoothed density: each quadratic piece tried at its vertex.
    double find_mode() const {
        const Index n = z_.size();
        const double last = z_.back();
        double best = -1.0, mode = z_[0], start = z_[0];
        Index left = 0, right = std::lower_bound(z_.begin(), z_.end(), start + 1.0) - z_.begin();
        while (true) {
            const double enters =
                right < n ? z_[right] - 1.0 : std::numeric_limits<double>::infinity();
            if (left == right) {  // a gap between the draws, wider than the kernel
                start = enters;
                ++right;
                continue;
            }
            const double end = std::min({enters, z_[left] + 1.0, last});
            const Window piece = window(left, right);
            const double t = std::min(std::max(piece.s1 / piece.n, start), end);
            const double height = piece.n * (1.0 - t * t) + 2.0 * t * piece.s1 - piece.s2;
            if (height > best) {
                best = height;
                mode = t;
            }
            if (end >= last) return mode;
            start = end;
            ++(enters <= end ? right : left);
        }
    }

    // The w up to `top` at which the density within middle ± w reaches the target, by bisection.
    double half_width(double middle, double top, double target) const {
        double narrow = 0.0, wide = top;
        for (int n = 0; n < 36; ++n) {  // to 1e-11 of a kernel half-width
            const double w = 0.5 * (narrow + wide);
            (enclosed(middle - w, middle + w) < target ? narrow : wide) = w;
        }
        return wide;
    }

    // Integral of the kernel up to u.
    static double step(double u) {
        u = std::min(std::max(u, -1.0), 1.0);
        return 0.25 * (2.0 + 3.0 * u - u * u * u);
    }

    // Noise of one independent draw in mode or bounds a and b, in half-widths (the delta method).
    //
    // It is the scatter of the amount that a draw at z adds to the mode, −k'(mode − z)/f''(mode),
    // and to the half-width, which keeps the enclosed mass; the kernel's half-width, 1 here, is
    // taken as given.
    double noise_of(double mode, double a, double b, bool is_limit, bool is_quantile) const {
        constexpr double nudge = 0.3;  // from the mode: differences of f' there give f''
        const double n = z_.size();
        double bend = 0.0, at_a = 0.0, at_b = 0.0;
        for (const double z : z_) {
            const double before = mode - nudge - z, after = mode + nudge - z;
            bend -= std::abs(before) < 1.0 ? before : 0.0;
            bend += std::abs(after) < 1.0 ? after : 0.0;
            at_a += std::max(1.0 - (a - z) * (a - z), 0.0);
            at_b += std::max(1.0 - (b - z) * (b - z), 0.0);
        }
        at_a *= 0.75 / n;
        at_b *= 0.75 / n;
        bend *= 1.5 / n / (2.0 * nudge);
        Scatter of_mode, of_low, of_high;
        for (const double z : z_) {
            const double u = mode - z;
            const double moved = std::abs(u) < 1.0 ? -1.5 * u / bend : 0.0;
            of_mode.add(moved);
            if (is_quantile) {
                of_high.add(-step(b - z) / at_b);
            } else if (is_limit) {
                of_high.add(2.0 * moved);
            } else {
                const double w =
                    -(step(b - z) - step(a - z) + (at_b - at_a) * moved) / (at_a + at_b);
                of_low.add(moved - w);
                of_high.add(moved + w);
            }
        }
        double worst = std::max(of_low.variance(n), of_high.variance(n));
        if (!is_limit) worst = std::max(worst, of_mode.variance(n));
        const double half = is_limit && !is_quantile ? mode - a : 0.5 * (b - a);
        return std::sqrt(std::max(worst, 0.0)) / half;
    }

    struct Scatter {
        double sum = 0.0, square = 0.0;

        void add(double x) {
            sum += x;
            square += x * x;
        }
        double variance(double n) const { return square / n - sum / n * (sum / n); }
    };

    double mean_, h_;                          // of the draws, and the kernel's half-width
    std::vector<double> z_;                    // draws in units of it about their mean, ascending
    std::vector<std::array<double, 4>> sums_;  // of z⁰ … z³ of the draws before each
};

}  // namespace mpiapp
