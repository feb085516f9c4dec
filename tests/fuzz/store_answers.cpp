#include <array>
#include <cstdlib>

#include "fuzz/answers.hpp"
#include "fuzz/fuzz.hpp"
#include "transport/transport.hpp"

// Whole answers of servers and stores, through libcurl and all that stands above it.

namespace {

using mad::fuzz::require;

/// Counts what arrives.
class Counter final : public mad::Receiver {
 public:
  void begin(const mad::ObjectInfo& object) override {
    size_bytes_ = object.size_bytes;
    bytes_ = 0;
  }
  void write(mad::Bytes bytes) override { bytes_ += bytes.size(); }
  void restart() override { bytes_ = 0; }

  std::uint64_t bytes() const { return bytes_; }
  bool complete() const { return !size_bytes_ || size_bytes_ == bytes_; }

 private:
  std::optional<std::uint64_t> size_bytes_;
  std::uint64_t bytes_ = 0;
};

constexpr std::uint64_t k_most_bytes = 100'000;
constexpr std::array k_urls = {"http://server.test/dir/sim.npz?sig=x", "s3://bucket/dir/sim.npz",
                               "gs://bucket/dir/sim.npz", "az://account/container/dir/sim.npz"};

void get(mad::Transport& transport, const mad::Url& url) {
  Counter counter;
  if (transport.get(url, counter, k_most_bytes) == mad::GetOutcome::complete) {
    require(counter.complete(), "what is complete has its size");
    require(counter.bytes() <= k_most_bytes, "no more comes than is wanted");
  }
}

void get_range(mad::Transport& transport, const mad::Url& url) {
  mad::ObjectInfo pinned;
  pinned.size_bytes = 100;
  pinned.version = url.scheme == "gs" ? "7" : "\"v\"";
  Counter counter;
  const auto outcome = transport.get_range(url, pinned, 10, 20, counter);
  if (outcome == mad::RangeOutcome::complete) require(counter.bytes() == 20, "a range is whole");
  if (outcome == mad::RangeOutcome::no_ranges) require(counter.bytes() == 0, "nothing came");
}

void list(mad::Transport& transport, const mad::Url& url) {
  std::size_t pages = 0;
  transport.list(url, [&](const std::vector<mad::ListedObject>& objects) {
    for (const mad::ListedObject& object : objects) {
      require(object.url.path[0] == '/' && object.url.host == url.host, "it is of that bucket");
      require(object.url.path.find_first_of("\r\n ") == std::string::npos, "a path is encoded");
    }
    return ++pages < 3;
  });
}

void put(mad::Transport& transport, const mad::Url& url, mad::PutOptions::Condition condition) {
  mad::PutOptions options;
  options.condition = condition;
  options.version = url.scheme == "gs" ? "7" : "\"v\"";
  if (transport.capabilities().metadata) options.metadata = {{"sha256", "0"}};
  static_cast<void>(transport.put(url, mad::as_bytes("bytes"), options));
}

void upload(mad::Transport& transport, const mad::Url& url) {
  const auto upload = transport.begin_upload(url, {}, 5);
  upload->put_part(0, mad::as_bytes("bytes"), std::nullopt);
  static_cast<void>(upload->finish());
}

mad::TransportOptions transport_options(const std::string& endpoint) {
  mad::TransportOptions options;
  options.retry.retries = 0;
  options.connect_timeout = std::chrono::milliseconds(2000);
  options.stall_timeout = std::chrono::milliseconds(2000);
  options.endpoint_url = endpoint;
  options.region = "us-east-1";
  options.anonymous = true;
  return options;
}

}  // namespace

MAD_FUZZ_TARGET(store_answers) {
  static mad::fuzz::AnsweringProxy proxy;
  const mad::Url url = mad::parse_url(k_urls[mad::fuzz::take_choice(input, k_urls.size())]);
  const std::size_t call = mad::fuzz::take_choice(input, 8);
  proxy.answer_with(input);
  mad::fuzz::refuses([&] {
    const auto transport = mad::open_transport(url, transport_options("http://store.test"));
    using Condition = mad::PutOptions::Condition;
    switch (call) {
      case 0:
        static_cast<void>(transport->stat(url));
        break;
      case 1:
        return get(*transport, url);
      case 2:
        return get_range(*transport, url);
      case 3:
        return list(*transport, url);
      case 4:
        return put(*transport, url, Condition::none);
      case 5:
        return put(*transport, url, Condition::if_version);
      case 6:
        return upload(*transport, url);
      default:
        transport->remove(url);
    }
  });
}
