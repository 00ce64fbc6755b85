// Σ c log x, lane by lane, with one logarithm for many terms.
//
// Terms whose c is a small whole number, as faint counts are, are multiplied: Π xᶜ takes a few
// multiplications where a logarithm takes some thirty operations.

#pragma once

#include <algorithm>
#include <cmath>

#include "cpp/arrays.hpp"
#include "cpp/log_exp.hpp"
#include "cpp/vectorised.hpp"

namespace mpiapp {

// What |log₂ x| is at most for low ≤ x ≤ high, to one bit.
inline double bits_between(double low, double high) {
    const auto exponent = [](double x) { return static_cast<Index>(bits_of(x) >> 52) - 1023; };
    return std::max(std::abs(exponent(low)), std::abs(exponent(high) + 1));
}

class SumOfLogs {
  public:
    // sum (lanes): to which terms are added; product (lanes): scratch
    SumOfLogs(View<double> sum, View<double> product) : sum_(sum), product_(product) {}

    // Add c log x, sooner or later; x (lanes) is overwritten.
    //
    // bits : what |log₂ x| is at most
    void add(double c, double bits, View<double> x) {
        if (!(c <= most_power && c * bits <= most_bits && c == std::floor(c))) {
            add_logs(c, x, sum_);
            return;
        }
        if (used_ + c * bits > most_bits) finish();
        if (used_ == 0.0) product_.fill(1.0);
        used_ += c * bits;
        for (Index power = static_cast<Index>(c);;) {
            if (power % 2) multiply(x, product_);
            power /= 2;
            if (power == 0) return;
            multiply(x, x);
        }
    }

    // Add what has not been added yet.
    void finish() {
        if (used_ > 0.0) add_logs(1.0, product_, sum_);
        used_ = 0.0;
    }

  private:
    static constexpr double most_power = 64.0;   // more take as long as a logarithm
    static constexpr double most_bits = 1000.0;  // that fit into the exponent of a number

    static void add_logs(double c, View<const double> x, View<double> sum) {
        INDEPENDENT
        for (Index i = 0; i < sum.size(); ++i) sum[i] += c * quick_log(x[i]);
    }

    static void multiply(View<const double> x, View<double> product) {
        INDEPENDENT
        for (Index i = 0; i < product.size(); ++i) product[i] *= x[i];
    }

    View<double> sum_, product_;
    double used_ = 0.0;  // bits, of the product
};

}  // namespace mpiapp
