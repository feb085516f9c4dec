#include "credentials/secret.hpp"

#include <ostream>
#include <type_traits>

#include "support/catch.hpp"

using namespace mad;

namespace {

template <class T, class = void>
struct is_printed : std::false_type {};
template <class T>
struct is_printed<T, std::void_t<decltype(std::declval<std::ostream&>() << std::declval<T>())>>
    : std::true_type {};

}  // namespace

TEST_CASE("Secret: nothing prints it or turns it into text unasked") {
  CHECK(is_printed<std::string>::value);
  CHECK_FALSE(is_printed<Secret>::value);
  CHECK_FALSE(std::is_convertible_v<Secret, std::string>);
  CHECK_FALSE(std::is_convertible_v<Secret, std::string_view>);
}

TEST_CASE("Secret: takes its argument over and zeroes it") {
  std::string text = "a key that is longer than what a string holds within itself";
  const char* const bytes = text.data();
  const std::size_t size = text.size();
  const Secret secret(std::move(text));
  CHECK(secret.reveal().size() == size);
  CHECK(secret.reveal().substr(0, 5) == "a key");
  CHECK(std::string_view(bytes, size) == std::string(size, '\0'));
}

TEST_CASE("Secret: copies share the bytes, an empty one has none") {
  const Secret secret = Secret::copy_of("key");
  const Secret copy = secret;  // NOLINT(performance-unnecessary-copy-initialization)
  CHECK(copy.reveal().data() == secret.reveal().data());
  CHECK(copy == Secret::copy_of("key"));
  CHECK_FALSE(copy == Secret::copy_of("kez"));
  CHECK_FALSE(copy == Secret());
  CHECK(Secret() == Secret::copy_of(""));
  CHECK(Secret().empty());
}
