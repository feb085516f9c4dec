// mad-test-store: one call of a transport, for the tests that look at it from outside.
//
//   mad-test-store stat|get|remove|list URL
//   mad-test-store ranges URL PART_BYTES THREADS     the object in parallel ranges to stdout
//   mad-test-store put URL                           standard input in one request
//   mad-test-store upload URL PART_BYTES THREADS     in parts; --hold: stop before finish();
//                                                    --unknown-length: not told in advance
//
// Options: --if-absent, --if-version V (of remove, too), --meta K=V, --late-meta K=V (of upload),
// --endpoint-url U,
// --cacert F, --header H, --no-sign-request, --hold, --limit N (of list), --timeout MS.  What came
// of it is a JSON object on standard error's last line.
#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <mutex>
#include <thread>

#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "base/tool.hpp"
#include "io/fd.hpp"
#include "transport/transport.hpp"

namespace {

using namespace mad;

struct StoreOptions {
  std::string verb;
  std::string url;
  std::uint64_t part_bytes = 5 << 20;
  unsigned threads = 1;
  bool if_absent = false;
  bool hold = false;
  bool unknown_length = false;
  std::string if_version;
  std::vector<std::string> metadata;
  std::vector<std::string> late_metadata;
  std::string endpoint_url;
  std::string cacert;
  std::vector<std::string> headers;
  bool anonymous = false;
  std::uint64_t limit = UINT64_MAX;
  unsigned retries = 4;
  std::int64_t timeout_ms = 5000;
};

void declare(CLI::App& app, StoreOptions& o) {
  app.add_option("VERB", o.verb)->required();
  app.add_option("URL", o.url)->required();
  app.add_option("PART_BYTES", o.part_bytes);
  app.add_option("THREADS", o.threads);
  app.add_flag("--if-absent", o.if_absent);
  app.add_flag("--hold", o.hold);
  app.add_flag("--unknown-length", o.unknown_length);
  app.add_option("--if-version", o.if_version);
  app.add_option("--meta", o.metadata);
  app.add_option("--late-meta", o.late_metadata);
  app.add_option("--endpoint-url", o.endpoint_url);
  app.add_option("--cacert", o.cacert);
  app.add_option("--header", o.headers);
  app.add_flag("--no-sign-request", o.anonymous);
  app.add_option("--limit", o.limit);
  app.add_option("--retries", o.retries);
  app.add_option("--timeout", o.timeout_ms);
}

class Collector final : public Receiver {
 public:
  void begin(const ObjectInfo&) override {}
  void write(Bytes bytes) override { text += as_text(bytes); }
  void restart() override { text.clear(); }
  std::string text;
};

std::string json_of(const ObjectInfo& info) {
  std::string json = "{\"size\":" + (info.size_bytes ? std::to_string(*info.size_bytes) : "null") +
                     ",\"version\":" + json_quote(info.version) +
                     ",\"modified\":" + std::to_string(info.modified_s.value_or(0)) +
                     ",\"metadata\":{";
  bool first = true;
  for (const auto& [name, value] : info.metadata) {
    json += (first ? "" : ",") + json_quote(name) + ':' + json_quote(value);
    first = false;
  }
  return json + "}}";
}

std::string json_of(const std::optional<ObjectInfo>& info) {
  return info ? json_of(*info) : "null";
}

/// `work(i)` for each i below `count`, from several threads; the first failure ends the
/// others and comes out, an end by a signal before all.
template <class Work>
void in_parallel(std::uint64_t count, unsigned threads, Stop& stop, const Work& work) {
  std::atomic<std::uint64_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&] {
    try {
      for (std::uint64_t i = next++; i < count; i = next++) work(i);
    } catch (const Stopped&) {
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      stop.request();
    }
  };
  std::vector<std::thread> pool;
  for (unsigned i = 0; i < threads; ++i) pool.emplace_back(run);
  for (std::thread& thread : pool) thread.join();
  if (failure) std::rethrow_exception(failure);
}

Metadata metadata_of(const std::vector<std::string>& pairs) {
  Metadata metadata;
  for (const std::string& pair : pairs) {
    metadata[pair.substr(0, pair.find('='))] = pair.substr(pair.find('=') + 1);
  }
  return metadata;
}

std::string standard_input() {
  std::ostringstream bytes;
  bytes << std::cin.rdbuf();
  return std::move(bytes).str();
}

class Store {
 public:
  explicit Store(const StoreOptions& options) : o_(options), url_(parse_url(options.url)) {
    TransportOptions transport;
    transport.endpoint_url = o_.endpoint_url;
    transport.ca_file = o_.cacert;
    transport.anonymous = o_.anonymous;
    transport.retry.first_delay = std::chrono::milliseconds(10);
    transport.retry.retries = o_.retries;
    transport.connect_timeout = transport.stall_timeout = std::chrono::milliseconds(o_.timeout_ms);
    for (const std::string& header : o_.headers) parse_header(header, transport.headers);
    transport.stop = stop_;
    transport_ = open_transport(url_, transport);
    put_.condition = o_.if_absent            ? PutOptions::Condition::if_absent
                     : o_.if_version.empty() ? PutOptions::Condition::none
                                             : PutOptions::Condition::if_version;
    put_.version = o_.if_version;
    put_.metadata = metadata_of(o_.metadata);
  }

  std::string run() {
    if (o_.verb == "stat") return json_of(transport_->stat(url_));
    if (o_.verb == "get") return get();
    if (o_.verb == "ranges") return ranges();
    if (o_.verb == "list") return list();
    if (o_.verb == "put") return json_of(transport_->put(url_, as_bytes(standard_input()), put_));
    if (o_.verb == "upload") return upload();
    if (o_.verb != "remove") usage_error("no such verb");
    if (!o_.if_version.empty()) {
      constexpr std::array<const char*, 3> k_outcomes = {"removed", "missing", "changed"};
      const RemoveOutcome outcome = transport_->remove_version(url_, o_.if_version);
      return json_quote(k_outcomes[static_cast<std::size_t>(outcome)]);
    }
    transport_->remove(url_);
    return "{}";
  }

  TransferFigures figures() const { return transport_->figures(); }

 private:
  std::string get() {
    Collector collector;
    const GetOutcome outcome = transport_->get(url_, collector, UINT64_MAX);
    if (outcome != GetOutcome::complete) return "\"not complete\"";
    write_full(1, as_bytes(collector.text), "standard output");
    return "\"complete\"";
  }

  std::string ranges() {
    const auto info = transport_->stat(url_);
    if (!info) return "null";
    const std::uint64_t size = info->size_bytes.value_or(0);
    const std::uint64_t count = (size + o_.part_bytes - 1) / o_.part_bytes;
    std::vector<Collector> parts(count);
    std::vector<RangeOutcome> outcomes(count);
    in_parallel(count, o_.threads, *stop_, [&](std::uint64_t i) {
      const std::uint64_t offset = i * o_.part_bytes;
      outcomes[i] = transport_->get_range(url_, *info, offset,
                                          std::min(o_.part_bytes, size - offset), parts[i]);
    });
    for (const RangeOutcome outcome : outcomes) {
      if (outcome == RangeOutcome::changed) return "\"changed\"";
      if (outcome == RangeOutcome::no_ranges) return "\"no ranges\"";
    }
    for (const Collector& part : parts) write_full(1, as_bytes(part.text), "standard output");
    return "\"complete\"";
  }

  std::string list() {
    std::uint64_t pages = 0;
    std::uint64_t count = 0;
    transport_->list(url_, [&](const std::vector<ListedObject>& objects) {
      ++pages;
      for (const ListedObject& object : objects) {
        const std::string line = display_url(object.url) + "\t" +
                                 std::to_string(object.size_bytes) + "\t" + object.version + "\t" +
                                 std::to_string(object.modified_s.value_or(0)) + "\n";
        write_full(1, as_bytes(line), "standard output");
      }
      count += objects.size();
      return count < o_.limit;
    });
    return "{\"pages\":" + std::to_string(pages) + "}";
  }

  std::string upload() {
    const std::string all = standard_input();
    const auto size = o_.unknown_length ? std::nullopt : std::optional<std::uint64_t>(all.size());
    const auto upload = transport_->begin_upload(url_, put_, size);
    const std::uint64_t count = (all.size() + o_.part_bytes - 1) / o_.part_bytes;
    in_parallel(count, o_.threads, *stop_, [&](std::uint64_t i) {
      upload->put_part(static_cast<std::uint32_t>(i),
                       as_bytes(std::string_view(all).substr(i * o_.part_bytes, o_.part_bytes)),
                       std::nullopt);
    });
    if (o_.hold) {
      std::cerr << "parts are there\n" << std::flush;
      for (;;) interruptible_sleep(std::chrono::hours(1));
    }
    return json_of(upload->finish(metadata_of(o_.late_metadata)));
  }

  const StoreOptions& o_;
  Url url_;
  PutOptions put_;
  std::shared_ptr<Stop> stop_ = std::make_shared<Stop>();
  std::unique_ptr<Transport> transport_;
};

ExitCode run(const StoreOptions& options, Tool&) {
  Store store(options);
  const std::string result = store.run();
  const TransferFigures figures = store.figures();
  std::cerr << "{\"result\":" << result << ",\"requests\":" << figures.requests
            << ",\"retries\":" << figures.retries << ",\"received\":" << figures.received_bytes
            << ",\"sent\":" << figures.sent_bytes << "}\n";
  return ExitCode::ok;
}

}  // namespace

int main(int argc, char** argv) {
  return mad::tool_main<StoreOptions>("mad-test-store", argc, argv, declare, run);
}
