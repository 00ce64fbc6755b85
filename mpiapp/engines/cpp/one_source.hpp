// The exact posterior of one source in any number of obsids: its marginal density as a Chebyshev
// series (collapse.hpp), the catalog's numbers of a batch, and independent draws.

#pragma once

#include "cpp/vectorised.hpp"
#include "engines/cpp/canonical.hpp"
#include "engines/cpp/collapse.hpp"
#include "engines/cpp/line_sampler.hpp"
#include "posterior/cpp/series.hpp"

namespace mpiapp {

// Chebyshev nodes, tried until the density is resolved.
inline const std::array<Array<double>, 9> source_nodes = {
    chebyshev_nodes(32),  chebyshev_nodes(48),  chebyshev_nodes(64),
    chebyshev_nodes(96),  chebyshev_nodes(128), chebyshev_nodes(192),
    chebyshev_nodes(256), chebyshev_nodes(512), chebyshev_nodes(1024)};
constexpr double resolved = 1e-6;  // of the largest value, what the last coefficients may be
// Of a density that begins as a fraction of a power of s (Gamma priors) these fall slowly; those of
// its integral, from which mode and bounds follow, by one order faster.
constexpr Index by_integral = 512;

// Density of s, not normalised, as a Chebyshev series; see the named tuple in one_source.py.
struct SourceSeries {
    double lo, hi;
    Array<double> coefficients;  // none where the density is not resolved
    Array<double> backgrounds, mean, std;
};

// First guesses of each background and of the source.
inline void guess_backgrounds(const Compressed& p, View<double> start) {
    for (Index k = 0; k < p.backgrounds(); ++k) {
        double seen = 1.0;
        for (Index r = p.first[k]; r < p.first[k + 1]; ++r) seen += p.counts[r];
        start[k] = 0.5 * p.upper[1 + k];
        if (p.omega_sum[k] > 0.0) start[k] = std::min(start[k], seen / p.omega_sum[k]);
    }
}

inline double guess_source(const Compressed& p) {
    double seen = 1.0;
    for (Index r = 0; r < p.counts.size(); ++r) seen += p.f(r, 0) > 0.0 ? p.counts[r] : 0.0;
    return std::min(seen / p.f_sum[0], 0.5 * p.upper[0]);
}

// Mean and standard deviation of each background, by Gauss–Chebyshev quadrature over s.
//
// x, values : (order) nodes, and the density there; powers : (2, backgrounds, order)
inline void background_moments(View<const double> x, View<const double> values,
                               View<const double, 3> powers, View<double> mean, View<double> std) {
    double mass = 0.0;
    mean.fill(0.0);
    std.fill(0.0);
    for (Index i = 0; i < x.size(); ++i) {
        const double weight = values[i] * std::sqrt(1.0 - x[i] * x[i]);
        mass += weight;
        for (Index k = 0; k < mean.size(); ++k) {
            mean[k] += weight * powers(0, k, i);
            std[k] += weight * powers(1, k, i);
        }
    }
    for (Index k = 0; k < mean.size(); ++k) {
        mean[k] /= mass;
        std[k] = std::sqrt(std::max(std[k] / mass - mean[k] * mean[k], 0.0));
    }
}

inline bool is_resolved(View<const double> coefficients, View<const double> values) {
    const Index order = values.size();
    double last = 0.0;
    for (double c : coefficients.part(order - 4, order)) last = std::max(last, std::abs(c));
    const double allowed = resolved * (order >= by_integral ? order : 1);
    return last < allowed * *std::max_element(values.begin(), values.end());
}

inline SourceSeries find_series(const Compressed& p) {
    const Index n = p.backgrounds();
    const double bound = p.upper[0];
    Array<double> start({n}), mean({n}), std({n});
    guess_backgrounds(p, start);
    if (p.f_sum[0] <= 0.0) {
        // Nothing is known of the source; of the backgrounds no more than this is asked.
        mean.fill(std::numeric_limits<double>::infinity());
        std.fill(std::numeric_limits<double>::infinity());
        return {0.0,
                bound,
                Array<double>({1}, 1.0 / bound),
                std::move(start),
                std::move(mean),
                std::move(std)};
    }
    const auto [lo, hi, top] = BracketSearch(p, start).from(guess_source(p));
    for (const View<const double> x : source_nodes) {
        const Index order = x.size();
        Array<double> s({order}), values({order}), coefficients({order});
        Array<double, 2> out({1, order});
        Array<double, 3> powers({2, n, order});
        for (Index i = 0; i < order; ++i) s[i] = lo + 0.5 * (hi - lo) * (1.0 + x[i]);
        collapse(p, s, start, out, powers);
        for (Index i = 0; i < order; ++i) values[i] = std::exp(out(0, i) - top);
        interpolate(x, values, coefficients);
        if (is_resolved(coefficients, values)) {
            background_moments(x, values, powers, mean, std);
            return {
                lo, hi, std::move(coefficients), std::move(start), std::move(mean), std::move(std)};
        }
    }
    return {lo, hi, {}, std::move(start), {}, {}};
}

// Fill in the numbers of problem i, whose own units are given.
inline void summarise_one(const Compressed& p, const Smoothing& smoothing, View<const double> at,
                          Found& found, Index i) {
    const auto series = find_series(p);
    if (series.coefficients.size() == 0) {
        found.status[i] = unresolved;
        return;
    }
    // The smoothed density is log-concave.  Its mode is within √3 of its standard deviations of
    // the mean, and within w of the mode lies all but (4/9) (2σ/w)² (Gauss); 1/e at least lies
    // above the mean, and so within the prior (less a hundredth, where its end is as far as this).
    const double spread = std::sqrt(1.0 + 0.2 * smoothing.bandwidth * smoothing.bandwidth) *
                          (std::sqrt(3.0) + 4.0 / std::sqrt(0.36 * (1.0 - smoothing.level)));
    const Integrals integrals(series.coefficients);
    found.is_limit(i, 0) =
        catalog_numbers(integrals, series.lo, series.hi, p.upper[0], smoothing, found.numbers[i][0])
            .is_limit;
    for (Index k = 0; k < p.backgrounds(); ++k) {
        found.reach(i, 1 + k) = series.mean[k] + spread * series.std[k];
    }
    if (at.size() == 0) return;
    found.ends(i, 0, 0) = series.lo;
    found.ends(i, 0, 1) = series.hi;
    normalised_density(series.coefficients, integrals, at, found.tables[i][0]);
}

// at : where in [−1, 1] to tabulate each density
inline Found summarise_one_source(Batch batch, Smoothing smoothing, View<const double> at) {
    const auto own = own_problems(batch, 4.0 + smoothing.bandwidth);
    Found found(own, 1, at.size());
    for (Index i = 0; i < batch.size(); ++i) {
        found.numbers(i, 0, 6) = 0.0;
        if (own.is_scaled(i)) continue;
        const auto p = compress(
            {batch.counts[i], own.F[i], batch.offset[i], batch.row_obsid, own.upper[i], 1});
        if (p.impossible >= 0) {
            found.status[i] = impossible;
        } else {
            summarise_one(p.view(), smoothing, at, found, i);
        }
    }
    found.scale(own);
    return found;
}

// The marginal of s as draws need it; see the named tuple in one_source.py.
struct SourceTable {
    double lo, hi;
    View<const double> values;
    View<const double> backgrounds;
};

// Inverts the distribution function of a density that is linear within each cell of a table.
class TableInverse {
  public:
    explicit TableInverse(const SourceTable& table)
        : table_(table), cells_(table.values.size() - 1), cdf_({cells_ + 1}), guide_({cells_ + 1}) {
        cdf_[0] = 0.0;
        for (Index i = 0; i < cells_; ++i) {
            cdf_[i + 1] = cdf_[i] + 0.5 * (table.values[i] + table.values[i + 1]);
        }
        Index cell = 0;
        for (Index j = 0; j <= cells_; ++j) {
            guide_[j] = cell = cell_of(cell, cdf_[cells_] * (static_cast<double>(j) / cells_));
        }
    }

    // Where the distribution function is u.
    double operator()(double u) const {
        const double target = u * cdf_[cells_];
        const Index cell = cell_of(guide_[static_cast<Index>(u * cells_)], target);
        const double rest = target - cdf_[cell], p = table_.values[cell];
        const double q =
            std::sqrt(std::max(p * p + 2.0 * (table_.values[cell + 1] - p) * rest, 0.0));
        const double part = std::min(2.0 * rest / std::max(p + q, tiny), 1.0);
        return table_.lo + (table_.hi - table_.lo) / cells_ * (cell + part);
    }

  private:
    // The first cell from this one on at whose end the target is passed.
    Index cell_of(Index cell, double target) const {
        while (cell < cells_ - 1 && cdf_[cell + 1] < target) ++cell;
        return cell;
    }

    SourceTable table_;
    Index cells_;
    Array<double> cdf_;
    Array<Index> guide_;  // the cell where the cdf passes j/cells of its total
};

// Fill values (n, columns), n a multiple of the lanes of state, with independent draws.
//
// Returns the number of background draws that failed.
inline Index draw_one_source(Compressed p, SourceTable table, States state,
                             View<double, 2> values) {
    const Index lanes = state.shape(1), rows = p.counts.size();
    const TableInverse inverse(table);
    LineSampler sampler(lanes);
    Array<double> u({lanes}), t({lanes}), lo({lanes}, 0.0), hi({lanes});
    Array<double, 2> mu({rows, lanes});
    Index failed = 0;
    for (Index begin = 0; begin < values.size(); begin += lanes) {
        fill_uniform(state, u);
        for (Index i = 0; i < lanes; ++i) values(begin + i, 0) = inverse(u[i]);
        for (Index r = 0; r < rows; ++r) {
            for (Index i = 0; i < lanes; ++i) {
                mu(r, i) = p.offset[r] + p.f(r, 0) * values(begin + i, 0);
            }
        }
        for (Index k = 0; k < p.backgrounds(); ++k) {
            t.fill(table.backgrounds[k]);
            hi.fill(p.upper[k + 1]);
            const Index first = p.first[k], end = p.first[k + 1];
            const Lines lines{p.counts.part(first, end), mu.part(first, end),
                              p.omega.part(first, end), p.omega_sum[k]};
            failed += sampler.draw(lines, lo, hi, t, state);
            for (Index i = 0; i < lanes; ++i) values(begin + i, 1 + k) = t[i];
        }
    }
    return failed;
}

}  // namespace mpiapp
