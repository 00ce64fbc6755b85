// What one_source.py, one_source_summary.py and gibbs.py call.

#include "engines/cpp/bindings.hpp"
#include "engines/cpp/one_source.hpp"
#include "engines/cpp/problems_of_python.hpp"

namespace py = pybind11;
using namespace pybind11::literals;
using namespace mpiapp;

namespace pybind11::detail {

template <>
struct type_caster<SourceTable>
    : structure_caster<SourceTable, double, double, View<const double>, View<const double>> {};

}  // namespace pybind11::detail

namespace {

auto density_series(const Compressed& p) {
    SourceSeries s = find_series(p);
    return std::make_tuple(s.lo, s.hi, std::move(s.coefficients), std::move(s.backgrounds),
                           std::move(s.mean), std::move(s.std));
}

auto log_marginal(const Compressed& p, View<const double> s, View<double> start) {
    Array<double, 2> out({1, s.size()});
    Array<double, 3> powers({2, p.backgrounds(), s.size()});
    collapse(p, s, start, out, powers);
    return Array<double>(View<const double>(out[0]));
}

Index draw_on_lines(View<const double> counts, View<const double, 2> mu, View<const double> v,
                    double total, View<const double> lo, View<const double> hi, View<double> t,
                    States state) {
    return LineSampler(t.size()).draw({counts, mu, v, total}, lo, hi, t, state);
}

}  // namespace

void bind_one_source(py::module_& m) {
    m.attr("MOST_NODES") = source_nodes.back().size();
    m.def("find_series", &density_series, "p"_a);
    m.def("log_marginal", &log_marginal, "p"_a, "s"_a, "start"_a);
    m.def("draw_on_lines", &draw_on_lines, "counts"_a, "mu"_a, "v"_a, "total"_a, "lo"_a, "hi"_a,
          "t"_a, "state"_a);
    m.def("draw_one_source", &draw_one_source, "p"_a, "table"_a, "state"_a, "values"_a);
    m.def(
        "summarise_one_source",
        [](const Batch& batch, const Smoothing& smoothing, View<const double> at) {
            return as_tuple(summarise_one_source(batch, smoothing, at));
        },
        "batch"_a, "smoothing"_a, "at"_a);
}
