// Modes and bounds of problems with several sources, all of one shape.
//
// As for one source each is solved in units of its own, and what is the same problem as the one
// before is scaled.  What chance leaves in mode and bounds follows from the repeats of a marginal,
// each taken as a small change of their mean.

#pragma once

#include <vector>

#include "engines/cpp/canonical.hpp"
#include "engines/cpp/several.hpp"
#include "posterior/cpp/series.hpp"

namespace mpiapp {

// How far the numbers of several sources are driven.
struct Accuracy {
    double asked;   // standard deviation that chance may leave in mode and bounds, in half-widths
    double margin;  // of it, what the moments of the repeats may disagree by
    double limit;   // times it, beyond which the noise is too large
};

// Twice the standard error of the mean; 0 of one value.
//
// Twice, since eight repeats know it to a quarter only and there is an end of points where they
// happen to agree.  Of two rules it is by how much they disagree.
inline double doubled_error(View<const double> values) {
    const Index n = values.size();
    if (n < 2) return 0.0;
    double mean = 0.0, square = 0.0;
    for (double x : values) mean += x / n;
    for (double x : values) square += (x - mean) * (x - mean) / n;
    return 2.0 * std::sqrt(square) / std::sqrt(n - 1.0);
}

// Noise of mode and bounds, in half-widths.
//
// parts : integrals of the repeats; best : of their mean, with the summary found in the units of
// the series.  A repeat moves the mode by its slope there over the curvature, and each bound so
// that the mass between them stays its share.
inline double noise_of(const std::vector<Integrals>& parts, const Integrals& best, double zero,
                       double top, const Interval& found, const Smoothing& smoothing) {
    constexpr double nudge = 0.01;   // kernel half-widths: differences of the slope there give the
                                     // curvature
    constexpr double at_end = 1e-6;  // slope in units of density per kernel half-width, beyond
                                     // which a bound is the mode
    const auto [mode, lolim, hilim, is_limit] = found;
    const double width_of_kernel = smoothing.bandwidth * best.moments().std;
    const double step = nudge * width_of_kernel;
    const auto here = best.smoothed(width_of_kernel, mode);
    const double bend = (best.smoothed(width_of_kernel, mode + step).slope -
                         best.smoothed(width_of_kernel, mode - step).slope) /
                        (2.0 * step);
    const bool moves = std::abs(here.slope) * width_of_kernel < at_end * here.density && bend < 0.0;
    const double w = is_limit ? hilim - zero : std::max(mode - lolim, hilim - mode);
    const Index n = parts.size();
    Array<double> modes({n}), lows({n}, 0.0), highs({n});
    for (Index k = 0; k < n; ++k) {
        const Integrals& A = parts[k];
        const double h = smoothing.bandwidth * A.moments().std;
        modes[k] = moves ? mode - A.smoothed(h, mode).slope / bend : mode;
        if (is_limit && !smoothing.wants_quantile) {
            highs[k] = 2.0 * modes[k];
            continue;
        }
        const double middle = is_limit ? zero : modes[k];
        const double right = middle + w, left = middle - w;
        const double target =
            smoothing.level * (A.smoothed(h, top).below - A.smoothed(h, zero).below);
        const auto high = A.smoothed(h, std::min(right, top));
        const auto low = A.smoothed(h, std::max(left, zero));
        const double rate = (right < top ? high.density : 0.0) + (left > zero ? low.density : 0.0);
        const double change = rate > 0.0 ? (target - high.below + low.below) / rate : 0.0;
        highs[k] = std::min(right + change, top);
        lows[k] = is_limit ? 0.0 : std::max(left - change, zero);
    }
    const double width = is_limit ? hilim - zero : hilim - lolim;
    return 2.0 * std::max({doubled_error(modes), doubled_error(lows), doubled_error(highs)}) /
           width;
}

// Fill out (7) with the numbers of one source; whether it is an upper limit.
//
// more : noise that the repeats have in common
inline bool summarise_repeats(const Repeats& found, double upper, double more,
                              const Smoothing& smoothing, View<double> out) {
    const View<const double, 2> series = found.series;
    const Integrals best(series[0]);
    std::vector<Integrals> parts;
    for (Index k = 1; k < series.size(); ++k) parts.emplace_back(series[k]);
    const auto interval = catalog_numbers(best, found.lo, found.hi, upper, smoothing, out);
    const double centre = 0.5 * (found.hi + found.lo), half = 0.5 * (found.hi - found.lo);
    out[6] =
        more + noise_of(parts, best, -centre / half, (upper - centre) / half, interval, smoothing);
    return interval.is_limit;
}

// Solves problems in their own units, one after the other.
class SeveralSolver {
  public:
    // wanted : the sources whose numbers are; levels : of points, each with more
    // usual : the catalog's own smoothing, whose noise decides; at : where to tabulate densities
    SeveralSolver(View<const Index> wanted, const std::vector<Cubature>& levels,
                  const Accuracy& accuracy, const Smoothing& smoothing, const Smoothing& usual,
                  View<const double> at)
        : wanted_(wanted),
          levels_(levels),
          accuracy_(accuracy),
          smoothing_(smoothing),
          usual_(usual),
          at_(at) {}

    // Fill in problem i.
    void solve(const Compressed& p, Found& found, Index i) const {
        for (double total : p.f_sum) {
            if (total <= 0.0) {
                found.status[i] = unseen;
                return;
            }
        }
        const Fit fit = fit_posterior(p);
        found.status[i] = fit.is_found ? all_sources(fit, found, i) : unresolved;
        if (found.status[i] == unresolved) {
            found.numbers[i].fill(std::numeric_limits<double>::quiet_NaN());
        } else {
            std::copy(fit.reach.begin(), fit.reach.end(), found.reach[i].begin());
        }
    }

  private:
    Status all_sources(const Fit& fit, Found& found, Index i) const {
        bool is_noisy = false;
        for (Index j : wanted_) {
            const double noise = one_source(fit, j, found, i);
            if (found.status[i] == unresolved) return unresolved;
            is_noisy = is_noisy || !(noise <= accuracy_.limit * accuracy_.asked);  // NaN is
        }
        return is_noisy ? limited : solved;
    }

    // Fill in source j of problem i; its noise under the usual smoothing.
    //
    // Points are added until moments, mode and bounds are as accurate as is asked for.
    double one_source(const Fit& fit, Index j, Found& found, Index i) const {
        const double upper = fit.model.upper[j];
        double noise = std::numeric_limits<double>::infinity();
        Repeats repeats;
        MarginalFinder finder(fit, j);
        for (std::size_t level = 0; level < levels_.size(); ++level) {
            found.depth(i, j) = level;
            repeats = finder.find(levels_[level]);
            if (repeats.series.size() == 0) {
                found.status[i] = unresolved;
                return noise;
            }
            const bool is_last = level + 1 == levels_.size();
            if (repeats.error > accuracy_.margin * accuracy_.asked && !is_last) continue;
            const double more = fit.rules.error + repeats.ripple;
            const View<double> numbers = found.numbers[i][j];
            found.is_limit(i, j) = summarise_repeats(repeats, upper, more, smoothing_, numbers);
            noise = numbers[6];
            if (!(smoothing_ == usual_)) {
                Array<double> other({7});
                summarise_repeats(repeats, upper, more, usual_, other);
                noise = other[6];
            }
            if (noise <= accuracy_.asked) break;
        }
        if (at_.size()) {
            const View<const double> best = repeats.series[0];
            found.ends(i, j, 0) = repeats.lo;
            found.ends(i, j, 1) = repeats.hi;
            normalised_density(best, Integrals(best), at_, found.tables[i][j]);
        }
        return noise;
    }

    View<const Index> wanted_;
    const std::vector<Cubature>& levels_;
    Accuracy accuracy_;
    Smoothing smoothing_, usual_;
    View<const double> at_;
};

inline Found summarise_several(const Batch& batch, double room, const SeveralSolver& solver,
                               Index points) {
    const auto own = own_problems(batch, room);
    Found found(own, batch.sources, points);
    for (Index i = 0; i < batch.size(); ++i) {
        if (own.is_scaled(i)) continue;
        const auto p = compress({batch.counts[i], own.F[i], batch.offset[i], batch.row_obsid,
                                 own.upper[i], batch.sources});
        if (p.impossible >= 0) {
            found.status[i] = impossible;
        } else {
            solver.solve(p.view(), found, i);
        }
    }
    found.scale(own);
    return found;
}

}  // namespace mpiapp
