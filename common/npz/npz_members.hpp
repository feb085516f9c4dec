#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "npz/npz_member.hpp"

namespace mad {

/// The headers of an archive's arrays, in its order: each dtype is held once, and 12 bytes
/// for each array, beside its shape (a byte or two for each usual extent).
class NpyHeaders {
 public:
  NpyHeaders() = default;
  NpyHeaders(NpyHeaders&&) = default;
  NpyHeaders& operator=(NpyHeaders&&) = default;
  NpyHeaders(const NpyHeaders&) = delete;
  NpyHeaders& operator=(const NpyHeaders&) = delete;
  ~NpyHeaders() = default;

  void push_back(const NpyHeader& header);
  /// Made anew at each call.
  NpyHeader operator[](std::size_t index) const;
  std::size_t size() const { return entries_.size(); }
  /// What dtypes and shapes take: as large as an archive makes them.
  std::uint64_t held_bytes() const { return dtype_bytes_ + shapes_.size(); }

 private:
  struct Entry {
    std::uint32_t dtype;
    std::uint32_t shape_offset;
    std::uint16_t header_bytes;
    std::uint8_t dimensions;
    bool fortran_order;
  };
  struct Dtype {
    const std::string* descr;
    std::uint64_t item_bytes;
  };

  std::deque<Entry> entries_;
  std::vector<Dtype> dtypes_;
  std::map<std::string, std::uint32_t> dtype_numbers_;
  std::uint64_t dtype_bytes_ = 0;
  /// Extents in base 128, the lowest digit first, the top bit where more follow.
  std::deque<std::uint8_t> shapes_;
};

/// The arrays of an archive, in its order, held in some 50 bytes each beside key and shape,
/// so that hundreds of thousands of them stay within a tool's memory.
///
/// An element is made anew whenever it is asked for: it is a value, and its address means
/// nothing once the statement, or the turn of the loop, that asked is over.
class NpzMembers {
 public:
  void push_back(const NpzMember& member);
  NpzMember operator[](std::size_t index) const;
  std::string_view key(std::size_t index) const;
  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  const NpyHeaders& headers() const { return headers_; }

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = NpzMember;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = NpzMember;

    Iterator(const NpzMembers& members, std::size_t index) : members_(&members), index_(index) {}
    NpzMember operator*() const { return (*members_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator==(const Iterator& other) const { return index_ == other.index_; }
    bool operator!=(const Iterator& other) const { return index_ != other.index_; }

   private:
    const NpzMembers* members_;
    std::size_t index_;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }

 private:
  struct Entry {
    std::uint64_t local_header_offset;
    std::uint64_t compressed_bytes;
    std::uint64_t size_bytes;
    std::uint32_t local_header_bytes;
    std::uint32_t crc32;
    std::uint32_t key_offset;
    std::uint16_t key_bytes;
    NpzMethod method;
  };

  std::deque<Entry> entries_;
  /// One after another, none across two blocks.
  std::vector<std::string> key_blocks_;
  NpyHeaders headers_;
};

}  // namespace mad
