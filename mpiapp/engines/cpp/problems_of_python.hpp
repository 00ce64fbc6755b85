// Problems as Python passes them to kernels, and what was found of them as Python gets it.

#pragma once

#include "cpp/numpy.hpp"
#include "engines/cpp/canonical.hpp"
#include "posterior/cpp/smoothing.hpp"

namespace pybind11::detail {

template <>
struct type_caster<mpiapp::Compressed>
    : structure_caster<mpiapp::Compressed, mpiapp::View<const mpiapp::Index>,
                       mpiapp::View<const double>, mpiapp::View<const double, 2>,
                       mpiapp::View<const double>, mpiapp::View<const double>,
                       mpiapp::View<const mpiapp::Index>, mpiapp::View<const double>,
                       mpiapp::View<const double>, mpiapp::View<const double>> {};

template <>
struct type_caster<mpiapp::Given>
    : structure_caster<mpiapp::Given, mpiapp::View<const double>, mpiapp::View<const double, 2>,
                       mpiapp::View<const double>, mpiapp::View<const mpiapp::Index>,
                       mpiapp::View<const double>, mpiapp::Index> {};

template <>
struct type_caster<mpiapp::Batch>
    : structure_caster<mpiapp::Batch, mpiapp::View<const double, 2>, mpiapp::View<const double, 3>,
                       mpiapp::View<const double, 2>, mpiapp::View<const mpiapp::Index>,
                       mpiapp::View<const double, 2>, mpiapp::Index> {};

template <>
struct type_caster<mpiapp::Smoothing> : structure_caster<mpiapp::Smoothing, double, double, bool> {
};

}  // namespace pybind11::detail

namespace mpiapp {

// The numbers of a batch, for the named tuple of canonical.py.
inline auto as_tuple(Found f) {
    return std::make_tuple(std::move(f.numbers), std::move(f.is_limit), std::move(f.reach),
                           std::move(f.status), std::move(f.is_scaled), std::move(f.depth),
                           std::move(f.ends), std::move(f.tables));
}

}  // namespace mpiapp
