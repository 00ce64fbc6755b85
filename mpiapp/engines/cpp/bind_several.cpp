// What several.py, several_summary.py and gibbs.py call.

#include "engines/cpp/bindings.hpp"
#include "engines/cpp/problems_of_python.hpp"
#include "engines/cpp/several_summary.hpp"

namespace py = pybind11;
using namespace pybind11::literals;
using namespace mpiapp;

namespace pybind11::detail {

template <>
struct type_caster<Cubature>
    : structure_caster<Cubature, View<const double, 2>, View<const double, 2>> {};

template <>
struct type_caster<Accuracy> : structure_caster<Accuracy, double, double, double> {};

}  // namespace pybind11::detail

namespace {

// What is known of a posterior beforehand, with its problem; every source has to be seen.
class PosteriorFit {
  public:
    explicit PosteriorFit(const Compressed& p) : arrays_(p), fit_(fit_posterior(arrays_.view())) {}

    bool is_found() const { return fit_.is_found; }
    Array<double> reach() const { return Array<double>(View<const double>(fit_.reach)); }

    auto marginal(Index column, const Cubature& cubature) const {
        Repeats found = MarginalFinder(fit_, column).find(cubature);
        return std::make_tuple(found.lo, found.hi, std::move(found.series), found.error);
    }

  private:
    CompressedArrays arrays_;
    Fit fit_;
};

auto centre(const Compressed& p) {
    Centre c = CentreSearch(p).find();
    return std::make_tuple(std::move(c.theta), std::move(c.precision), std::move(c.spread),
                           std::move(c.shift), std::move(c.way), std::move(c.pull), c.decrement);
}

auto summarise(const Batch& batch, double room, View<const Index> wanted, const py::tuple& levels,
               const Accuracy& accuracy, const Smoothing& smoothing, const Smoothing& usual,
               View<const double> at) {
    std::vector<py::detail::make_caster<Cubature>> converted(levels.size());
    std::vector<Cubature> cubatures;
    for (std::size_t i = 0; i < levels.size(); ++i) {
        if (!converted[i].load(levels[i], true)) throw py::type_error("levels: pairs of arrays");
        cubatures.push_back(converted[i]);
    }
    const SeveralSolver solver(wanted, cubatures, accuracy, smoothing, usual, at);
    return as_tuple(summarise_several(batch, room, solver, at.size()));
}

}  // namespace

void bind_several(py::module_& m) {
    m.def("centre", &centre, "p"_a);
    py::class_<PosteriorFit>(m, "PosteriorFit")
        .def(py::init<const Compressed&>(), "p"_a)
        .def_property_readonly("is_found", &PosteriorFit::is_found)
        .def_property_readonly("reach", &PosteriorFit::reach)
        .def("marginal", &PosteriorFit::marginal, "column"_a, "cubature"_a);
    m.def("summarise_several", &summarise, "batch"_a, "room"_a, "wanted"_a, "levels"_a,
          "accuracy"_a, "smoothing"_a, "usual"_a, "at"_a);
}
