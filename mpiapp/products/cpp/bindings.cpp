// mpiapp.products._compiled: what Python calls of hardness ratios and variability.

#include "cpp/numpy.hpp"
#include "cpp/vectorised.hpp"
#include "products/cpp/constancy.hpp"
#include "products/cpp/hardness.hpp"
#include "products/cpp/table.hpp"

namespace py = pybind11;
using namespace pybind11::literals;
using namespace mpiapp;

namespace pybind11::detail {

template <>
struct type_caster<Tables>
    : structure_caster<Tables, View<const double>, View<const double>, View<const double, 2>> {};

}  // namespace pybind11::detail

namespace {

VECTORISED TableArrays smooth(const Tables& tables, double bandwidth) {
    return smoothed(tables, bandwidth);
}

VECTORISED Array<double, 2> ratios(const Tables& x, const Tables& y, double level) {
    return hardness_ratios(x, y, level);
}

VECTORISED HardnessTables tabulate(const Tables& x, const Tables& y, View<const double> x_unit,
                                   View<const double> y_unit) {
    return hardness_tables(x, y, x_unit, y_unit);
}

VECTORISED Array<double, 2> compare(const Tables& tables, View<const Index> first) {
    return common_values(tables, first);
}

}  // namespace

PYBIND11_MODULE(_compiled, m) {
    m.def(
        "smoothed",
        [](Tables tables, double bandwidth) {
            auto [low, high, density] = smooth(tables, bandwidth);
            return py::make_tuple(std::move(low), std::move(high), std::move(density));
        },
        "tables"_a, "bandwidth"_a);
    m.def(
        "hardness_ratios", [](Tables x, Tables y, double level) { return ratios(x, y, level); },
        "x"_a, "y"_a, "level"_a);
    m.def(
        "hardness_tables",
        [](Tables x, Tables y, View<const double> x_unit, View<const double> y_unit) {
            auto [w, mean, rms] = tabulate(x, y, x_unit, y_unit);
            return py::make_tuple(std::move(w.low), std::move(w.high), std::move(w.density),
                                  std::move(mean), std::move(rms));
        },
        "x"_a, "y"_a, "x_unit"_a, "y_unit"_a);
    m.def(
        "common_values",
        [](Tables tables, View<const Index> first) { return compare(tables, first); }, "tables"_a,
        "first"_a);
}
