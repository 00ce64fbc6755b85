// Gauss rules of few nodes for the density of a background, by way of a fine Gauss–Legendre rule.
//
// The density ψ(b) = Σ_r C_r log(μ_r + Ω_r b) − b Σ Ω is log-concave.  Its orthogonal polynomials
// follow from their recurrence (Stieltjes) on 64 nodes where it lives, nodes and weights from the
// eigenvalues of the tridiagonal matrix (Golub & Welsch 1969).

#pragma once

#include "cpp/arrays.hpp"
#include "cpp/log_exp.hpp"
#include "cpp/nodes.hpp"

namespace mpiapp {

// Eigenvalues (in diagonal) and squared first components of the eigenvectors (in first) of a
// symmetric tridiagonal matrix, by the implicit QL algorithm.
//
// off : element i couples i and i + 1; overwritten
class Tridiagonal {
  public:
    Tridiagonal(View<double> diagonal, View<double> off, View<double> first)
        : diagonal_(diagonal), off_(off), first_(first) {}

    void solve() {
        const Index n = diagonal_.size();
        first_.fill(0.0);
        first_[0] = 1.0;
        for (Index low = 0; low < n; ++low) {
            for (int round = 0; round < 60; ++round) {
                const Index m = end_of_block(low);
                if (m == low) break;
                chase(low, m);
            }
        }
        for (double& x : first_) x *= x;
    }

  private:
    // The first row from low on that couples with none after it.
    Index end_of_block(Index low) const {
        Index m = low;
        for (; m < diagonal_.size() - 1; ++m) {
            const double size = std::abs(diagonal_[m]) + std::abs(diagonal_[m + 1]);
            if (std::abs(off_[m]) <= 1e-16 * size) break;
        }
        return m;
    }

    // One implicitly shifted sweep from row m up to row low.
    void chase(Index low, Index m) {
        double g = (diagonal_[low + 1] - diagonal_[low]) / (2.0 * off_[low]);
        double r = std::sqrt(g * g + 1.0);
        g = diagonal_[m] - diagonal_[low] + off_[low] / (g + std::copysign(r, g));
        double s = 1.0, c = 1.0, p = 0.0;
        for (Index i = m - 1; i >= low; --i) {
            const double f = s * off_[i], b = c * off_[i];
            r = std::sqrt(f * f + g * g);
            off_[i + 1] = r;
            if (r == 0.0) {
                diagonal_[i + 1] -= p;
                off_[m] = 0.0;
                return;
            }
            s = f / r;
            c = g / r;
            g = diagonal_[i + 1] - p;
            r = (diagonal_[i] - g) * s + 2.0 * c * b;
            p = s * r;
            diagonal_[i + 1] = g + p;
            g = c * r - b;
            const double before = first_[i], after = first_[i + 1];
            first_[i + 1] = s * before + c * after;
            first_[i] = c * before - s * after;
        }
        diagonal_[low] -= p;
        off_[low] = g;
        off_[m] = 0.0;
    }

    View<double> diagonal_, off_, first_;
};

// The density of one background: ψ(b) = Σ powers log(μ + Ω b) − b · total.
//
// mu : what the rows expect without this background; total : of omega over all rows
struct BackgroundDensity {
    View<const double> powers, omega, mu;
    double total;

    struct Expansion {
        double height, slope, bend;
    };

    // ψ(b) with its first and second derivatives.
    Expansion at(double b) const {
        Expansion e{-total * b, -total, 0.0};
        for (Index r = 0; r < powers.size(); ++r) {
            if (!(powers[r] > 0.0)) continue;
            const double m = std::max(mu[r] + omega[r] * b, tiny), ratio = omega[r] / m;
            e.height += powers[r] * std::log(m);
            e.slope += powers[r] * ratio;
            e.bend -= powers[r] * ratio * ratio;
        }
        return e;
    }

    struct Range {
        double lo, hi, top;  // top : ψ at the peak
    };

    // Where ψ has fallen by `drop` or a bound of the prior stands.
    Range range(double upper, double start, double drop) const {
        double left = 0.0, right = upper, b = start, peak = start;
        Expansion e{};
        for (int round = 0; round < 100; ++round) {
            e = at(b);
            peak = b;
            const double edge = e.slope < 0.0 ? b : upper - b;
            if (e.slope * e.slope <= -0.01 * e.bend || std::abs(e.slope) * edge < 0.01) break;
            const double step = e.slope / std::max(-e.bend, tiny);
            if (e.slope > 0.0) {
                left = b;
                b += std::min(step, 0.7 * (right - b));
            } else {
                right = b;
                b += std::max(step, -0.7 * (b - left));
            }
        }
        const double top = e.height, slope = e.slope;
        const double root = std::sqrt(slope * slope - 2.0 * drop * e.bend);
        // A parabola bounds the fall to the left, since ψ''' > 0; to the right Newton steps end
        // beyond the point where the drop is reached.
        const double lo = std::max(0.0, peak - 2.0 * drop / std::max(slope + root, tiny));
        double hi = std::min(upper, peak + 2.0 * drop / std::max(root - slope, tiny));
        for (int step = 0; step < 3; ++step) {
            e = at(hi);
            if (e.slope < 0.0) hi = std::min(upper, hi - (e.height - top + drop) / e.slope);
        }
        return {lo, hi, top};
    }
};

constexpr double gauss_drop = 30.0;  // log of the peak over the density where the rule ends
constexpr Index fine_nodes = 64;
inline const GaussLegendre<fine_nodes> fine_rule;

// Fill nodes and weights (n), which sum to one, with the Gauss rule of e^ψ on [0, upper].
inline void gauss_rule(const BackgroundDensity& density, double upper, double start,
                       View<double> nodes, View<double> weights) {
    const auto [lo, hi, top] = density.range(upper, start, gauss_drop);
    const double half = 0.5 * (hi - lo);
    const auto& x = fine_rule.nodes;
    double w[fine_nodes], now[fine_nodes], before[fine_nodes];
    double mass = 0.0;
    for (Index i = 0; i < fine_nodes; ++i) {
        const double height = density.at(lo + half * (1.0 + x[i])).height;
        w[i] = fine_rule.weights[i] * std::exp(height - top);
        mass += w[i];
    }
    for (Index i = 0; i < fine_nodes; ++i) {
        now[i] = 1.0 / std::sqrt(mass);
        before[i] = 0.0;
    }
    Array<double> off({nodes.size()});
    double coupling = 0.0;
    for (Index k = 0; k < nodes.size(); ++k) {
        double mean = 0.0, norm = 0.0;
        for (Index i = 0; i < fine_nodes; ++i) mean += w[i] * x[i] * now[i] * now[i];
        nodes[k] = mean;
        for (Index i = 0; i < fine_nodes; ++i) {
            const double later = (x[i] - mean) * now[i] - coupling * before[i];
            before[i] = now[i];
            now[i] = later;
            norm += w[i] * later * later;
        }
        off[k] = coupling = std::sqrt(norm);
        for (Index i = 0; i < fine_nodes; ++i) now[i] /= coupling;
    }
    Tridiagonal(nodes, off, weights).solve();
    for (double& node : nodes) node = lo + half * (1.0 + node);
}

}  // namespace mpiapp
