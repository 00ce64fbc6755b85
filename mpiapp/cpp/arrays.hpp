// Arrays of numbers in row-major order, as numpy keeps them: `View` looks at numbers that somebody
// else owns, `Array` owns its own.
//
// Kernels take views and never know of Python; numpy.hpp turns numpy's arrays into views, and
// arrays that a kernel returns into numpy's, without a copy.

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <utility>

namespace mpiapp {

using Index = std::ptrdiff_t;

template <class T, int N = 1>
class View {
  public:
    using Shape = std::array<Index, N>;

    View() : data_(nullptr), shape_{} {}
    View(T* data, Shape shape) : data_(data), shape_(shape) {}

    // What may be changed may also be looked at.
    template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>>
    View(View<U, N> other) : data_(other.data()), shape_(other.shape()) {}

    T* data() const { return data_; }
    const Shape& shape() const { return shape_; }
    Index shape(int axis) const { return shape_[axis]; }
    Index size() const { return shape_[0]; }  // of the first axis
    T* begin() const { return data_; }
    T* end() const { return data_ + length(); }

    // All axes.
    Index length() const {
        Index total = 1;
        for (Index n : shape_) total *= n;
        return total;
    }

    // An element of one axis, a view of the rest of several.
    decltype(auto) operator[](Index i) const {
        if constexpr (N == 1) {
            return static_cast<T&>(data_[i]);
        } else {
            std::array<Index, N - 1> rest;
            Index stride = 1;
            for (int axis = 1; axis < N; ++axis) stride *= rest[axis - 1] = shape_[axis];
            return View<T, N - 1>(data_ + i * stride, rest);
        }
    }

    T& operator()(Index i, Index j) const {
        static_assert(N == 2);
        return data_[i * shape_[1] + j];
    }

    T& operator()(Index i, Index j, Index k) const {
        static_assert(N == 3);
        return data_[(i * shape_[1] + j) * shape_[2] + k];
    }

    // Rows from begin to end.
    View part(Index begin, Index end) const {
        Shape shape = shape_;
        shape[0] = end - begin;
        Index stride = 1;
        for (int axis = 1; axis < N; ++axis) stride *= shape_[axis];
        return View(data_ + begin * stride, shape);
    }

    void fill(std::remove_const_t<T> value) const { std::fill(begin(), end(), value); }

  private:
    T* data_;
    Shape shape_;
};

template <class T, int N = 1>
class Array : public View<T, N> {
  public:
    using Shape = typename View<T, N>::Shape;

    Array() = default;

    // Not initialised.
    explicit Array(Shape shape) : View<T, N>(nullptr, shape) {
        constexpr std::size_t line = 64;  // bytes: vectors that lie across two take twice as long
        std::size_t room = this->length() * sizeof(T) + line;
        owned_.reset(new T[room / sizeof(T)]);
        void* start = owned_.get();
        std::align(line, room - line, start, room);
        static_cast<View<T, N>&>(*this) = View<T, N>(static_cast<T*>(start), shape);
    }

    Array(Shape shape, T value) : Array(shape) { this->fill(value); }

    explicit Array(View<const T, N> other) : Array(other.shape()) {
        std::copy(other.begin(), other.end(), this->begin());
    }

    Array(Array&& other) noexcept { *this = std::move(other); }

    Array& operator=(Array&& other) noexcept {
        owned_ = std::move(other.owned_);
        static_cast<View<T, N>&>(*this) = other;
        static_cast<View<T, N>&>(other) = View<T, N>();
        return *this;
    }

    // What holds the numbers, for a new owner; they need not begin where it does.
    std::unique_ptr<T[]> release() { return std::move(owned_); }

  private:
    std::unique_ptr<T[]> owned_;
};

}  // namespace mpiapp
