// Rank-normalised split r-hat and bulk effective sample size of the chains of a parameter.
//
// Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, Bayesian Analysis 16, 667 (their Eqs. 1–14),
// with the truncation of Geyer's initial monotone sequence.

#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpp/arrays.hpp"
#include "posterior/cpp/buckets.hpp"

namespace mpiapp {

// Σ a_k xᵏ, the highest power first.
template <std::size_t n>
double polynomial(const double (&a)[n], double x) {
    double sum = a[0];
    for (std::size_t k = 1; k < n; ++k) sum = sum * x + a[k];
    return sum;
}

// Quantile of the standard normal, relative error < 1.2e-9 (P. J. Acklam's rational fit).
inline double normal_quantile(double p) {
    static constexpr double tail[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                                      -2.400758277161838e+00, -2.549732539343734e+00,
                                      4.374664141464968e+00,  2.938163982698783e+00};
    static constexpr double under_tail[] = {7.784695709041462e-03, 3.224671290700398e-01,
                                            2.445134137142996e+00, 3.754408661907416e+00, 1.0};
    static constexpr double middle[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                                        -2.759285104469687e+02, 1.383577518672690e+02,
                                        -3.066479806614716e+01, 2.506628277459239e+00};
    static constexpr double under_middle[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                                              -1.556989798598866e+02, 6.680131188771972e+01,
                                              -1.328068155288572e+01, 1.0};
    if (p > 0.5) return -normal_quantile(1.0 - p);
    if (p < 0.02425) {
        const double q = std::sqrt(-2.0 * std::log(p));
        return polynomial(tail, q) / polynomial(under_tail, q);
    }
    const double q = p - 0.5;
    return q * polynomial(middle, q * q) / polynomial(under_middle, q * q);
}

// Of parameters one after the other, with room for the chains of one.
class Diagnostics {
  public:
    struct Found {
        double rhat, ess;
    };

    // Of so many chains and draws of each, which are split in halves.
    Diagnostics(Index chains, Index draws)
        : draws_(draws),
          half_(draws / 2),
          n_(2 * chains * half_),
          x_({n_}),
          sorted_({n_}),
          scores_({n_}),
          z_({2 * chains, half_}),
          means_({2 * chains}) {
        for (Index i = 0; i < n_; ++i) scores_[i] = score(static_cast<double>(i));
    }

    // values: of all parameters (chains, draws, columns).  r-hat is the larger of that of the ranks
    // and that of the ranks of |x − median|, NaN for a column that never moves; both are NaN for
    // one with draws that are not finite, or a single one.
    Found of(View<const double, 3> values, Index column) {
        constexpr double nan = std::numeric_limits<double>::quiet_NaN();
        if (!split(values, column)) return {nan, nan};
        rank_normalise();
        const Variances bulk = variances();
        const double ess = effective_size(bulk), of_ranks = rhat(bulk);
        const double median = 0.5 * (sorted_[(n_ - 1) / 2].x + sorted_[n_ / 2].x);
        for (Draw& draw : x_) draw.x = std::abs(draw.x - median);
        rank_normalise();
        return {std::fmax(of_ranks, rhat(variances())), ess};
    }

  private:
    struct Draw {
        double x;
        Index place;  // in the half chains one after the other
    };

    // Between the means of chains, and the mean of those within chains.
    struct Variances {
        double between, within;
    };

    // x: the half chains; whether there are any and all is finite.
    bool split(View<const double, 3> values, Index column) {
        if (half_ == 0) return false;
        Index place = 0;
        for (Index c = 0; c < values.shape(0); ++c) {
            for (Index i = 0; i < draws_; ++i)
                if (!std::isfinite(values(c, i, column))) return false;
            for (Index begin : {Index(0), draws_ - half_})
                for (Index i = begin; i < begin + half_; ++i, ++place)
                    x_[place] = {values(c, i, column), place};
        }
        return true;
    }

    // The normal score of a rank, counted from 0.
    double score(double rank) const { return normal_quantile((rank + 0.625) / (n_ + 0.25)); }

    // z: the normal scores of the ranks of x, of ties that of their mean rank.
    void rank_normalise() {
        sort_by_buckets<Draw>(x_, sorted_, [](const Draw& draw) { return draw.x; });
        if (sorted_[0].x == sorted_[n_ - 1].x) return z_.fill(0.0);  // without rounding
        for (Index i = 0, j; i < n_; i = j + 1) {
            j = i;
            while (j + 1 < n_ && sorted_[j + 1].x == sorted_[i].x) ++j;
            const double tied = j > i ? score(0.5 * (i + j)) : scores_[i];
            for (Index k = i; k <= j; ++k) z_.data()[sorted_[k].place] = tied;
        }
    }

    // Of z, whose means are left in means_.
    Variances variances() {
        const double chains = z_.shape(0), draws = z_.shape(1);
        double within = 0.0, between = 0.0, centre = 0.0;
        for (Index c = 0; c < z_.shape(0); ++c) {
            double total = 0.0, square = 0.0;
            for (const double z : z_[c]) total += z;
            means_[c] = total / draws;
            for (const double z : z_[c]) square += (z - means_[c]) * (z - means_[c]);
            within += square / (draws - 1.0);
            centre += means_[c] / chains;
        }
        for (const double mean : means_) between += (mean - centre) * (mean - centre);
        return {between / (chains - 1.0), within / chains};
    }

    // Mean over chains of that of z at a lag, normalised by the number of draws.
    double autocovariance(Index lag) const {
        double total = 0.0;
        for (Index c = 0; c < z_.shape(0); ++c) {
            const auto z = z_[c];
            for (Index i = 0; i < half_ - lag; ++i)
                total += (z[i] - means_[c]) * (z[i + lag] - means_[c]);
        }
        return total / z_.length();
    }

    // By Geyer's initial monotone sequence of pairs of autocorrelations.
    double effective_size(const Variances& found) const {
        const double n = z_.length();
        const double variance = found.within * (half_ - 1.0) / half_ + found.between;
        if (!(variance > 0.0)) return n;
        const auto correlation = [&](Index lag) {
            return 1.0 - (found.within - autocovariance(lag)) / variance;
        };
        double tau = -1.0, previous = std::numeric_limits<double>::infinity();
        double even = 1.0, odd = correlation(1);
        for (Index lag = 1; even + odd > 0.0 && lag < half_ - 3; lag += 2) {
            previous = std::min(previous, even + odd);
            tau += 2.0 * previous;
            even = correlation(lag + 1);
            odd = correlation(lag + 2);
        }
        // Of the pair that ends the sequence a positive first half counts once.
        tau = std::max(tau + std::max(even, 0.0), 1.0 / std::log10(n));
        return n / tau;
    }

    double rhat(const Variances& found) const {
        if (found.within > 0.0)
            return std::sqrt((half_ - 1.0) / half_ + found.between / found.within);
        return found.between > 0.0 ? std::numeric_limits<double>::infinity()
                                   : std::numeric_limits<double>::quiet_NaN();
    }

    Index draws_, half_, n_;  // n: of all half chains
    Array<Draw> x_, sorted_;
    Array<double> scores_;
    Array<double, 2> z_;
    Array<double> means_;
};

}  // namespace mpiapp
