// Views and arrays as arguments and results of functions that Python calls (see arrays.hpp).
//
// A view of constant numbers takes anything numpy can convert; one of numbers that are written
// takes only an array of just that type, contiguous, since a copy would be written in vain.

#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <tuple>
#include <type_traits>

#include "cpp/arrays.hpp"

namespace pybind11::detail {

template <class T, int N>
struct type_caster<mpiapp::View<T, N>> {
    using Viewed = mpiapp::View<T, N>;
    using Number = std::remove_const_t<T>;
    static constexpr bool is_read = std::is_const_v<T>;
    static constexpr int flags = array::c_style | (is_read ? array::forcecast : 0);
    using Numpy = array_t<Number, flags>;

    PYBIND11_TYPE_CASTER(Viewed, const_name("numpy.ndarray"));

    bool load(handle source, bool) {
        if (!is_read && !Numpy::check_(source)) return false;
        kept_ = Numpy::ensure(source);
        if (!kept_) PyErr_Clear();
        if (!kept_ || kept_.ndim() != N || (!is_read && !kept_.writeable())) return false;
        typename Viewed::Shape shape;
        std::copy_n(kept_.shape(), N, shape.begin());
        value = Viewed(const_cast<T*>(kept_.data()), shape);
        return true;
    }

  private:
    Numpy kept_;
};

template <class T, int N>
struct type_caster<mpiapp::Array<T, N>> {
    static constexpr auto name = const_name("numpy.ndarray");

    static handle cast(mpiapp::Array<T, N>&& found, return_value_policy, handle) {
        const auto shape = found.shape();
        T* numbers = found.data();
        capsule owner(found.release().release(), [](void* p) { delete[] static_cast<T*>(p); });
        return array_t<T>(shape, numbers, owner).release();
    }
};

// A structure as a tuple of its members, for a named tuple of Python: derive its caster from
// this, with the types of all members in their order.
template <class Structure, class... Members>
struct structure_caster {
    static constexpr auto name = const_name("tuple");

    bool load(handle source, bool convert) { return members_.load(source, convert); }

    template <class>
    using cast_op_type = Structure;

    operator Structure() {
        return std::apply([](auto... each) { return Structure{each...}; },
                          static_cast<std::tuple<Members...>>(members_));
    }

  private:
    make_caster<std::tuple<Members...>> members_;
};

}  // namespace pybind11::detail
