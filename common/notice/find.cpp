#include "notice/find.hpp"

#include <mutex>
#include <thread>
#include <vector>

#include "base/interrupt.hpp"
#include "base/thread.hpp"
#include "credentials/service.hpp"
#include "notice/gcp.hpp"
#include "transport/http_port.hpp"
#include "transport/retry.hpp"

namespace mad {
namespace {

using Clock = std::chrono::steady_clock;

/// After an answer that says nothing: a service that is not up yet.
constexpr std::chrono::milliseconds k_probe_interval{100};

HttpAsk probe_of(Cloud cloud, const std::string& endpoint, const Surroundings& surroundings) {
  const auto at = [&](const std::string& usual) { return endpoint.empty() ? usual : endpoint; };
  switch (cloud) {
    case Cloud::aws: {
      HttpAsk ask = metadata_ask(at(surroundings.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT")
                                        .value_or(k_metadata_address)) +
                                 "/latest/api/token");
      ask.method = "PUT";
      ask.headers.emplace_back("X-aws-ec2-metadata-token-ttl-seconds", Secret("60"));
      return ask;
    }
    case Cloud::gcp: {
      HttpAsk ask =
          metadata_ask(at(gcp_endpoint(surroundings)) + "/computeMetadata/v1/instance/preempted");
      ask.headers.emplace_back("Metadata-Flavor", Secret("Google"));
      return ask;
    }
    default: {
      HttpAsk ask = metadata_ask(at(k_metadata_address) + "/metadata/versions");
      ask.headers.emplace_back("Metadata", Secret("true"));
      return ask;
    }
  }
}

bool is_answer_of(Cloud cloud, const HttpAnswer& answer) {
  const bool google = answer.find("metadata-flavor") == "Google";
  switch (cloud) {
    case Cloud::aws:
      return answer.status == 200 && !google && is_token(answer.body.reveal());
    case Cloud::gcp:
      return google;
    default:
      return answer.status == 200 &&
             answer.body.reveal().find("\"apiVersions\"") != std::string_view::npos;
  }
}

/// Three threads that ask until one of them has found its cloud.
class Search {
 public:
  Search(std::string endpoint, std::chrono::milliseconds time)
      : endpoint_(std::move(endpoint)), end_(Clock::now() + time) {}

  std::optional<Cloud> run() {
    std::vector<std::thread> threads;
    try {
      for (const Cloud cloud : {Cloud::aws, Cloud::gcp, Cloud::azure}) {
        threads.push_back(need_thread([this, cloud] { probe(cloud); }));
      }
    } catch (...) {
      stop_->request();
      for (std::thread& thread : threads) thread.join();
      throw;
    }
    for (std::thread& thread : threads) thread.join();
    check_interrupted();
    return found_;
  }

 private:
  void probe(Cloud cloud) noexcept {
    try {
      TransportOptions options;
      options.stop = stop_;
      ClientPort port(options);
      Surroundings surroundings;
      surroundings.http = &port;
      HttpAsk ask = probe_of(cloud, endpoint_, surroundings);
      while (Clock::now() < end_) {
        ask.timeout = std::chrono::ceil<std::chrono::milliseconds>(end_ - Clock::now());
        if (answers(port, ask, cloud)) return found(cloud);
        interruptible_sleep(k_probe_interval, stop_.get());
      }
    } catch (...) {
      // Another thread has found its cloud, or a signal ends the search: run() sees to it.
    }
  }

  static bool answers(ClientPort& port, const HttpAsk& ask, Cloud cloud) {
    try {
      return is_answer_of(cloud, port.ask(ask));
    } catch (const Error&) {
      return false;
    }
  }

  void found(Cloud cloud) {
    const std::lock_guard lock(mutex_);
    if (!found_) found_ = cloud;
    stop_->request();
  }

  std::string endpoint_;
  Clock::time_point end_;
  std::shared_ptr<Stop> stop_ = std::make_shared<Stop>();
  std::mutex mutex_;
  std::optional<Cloud> found_;
};

}  // namespace

std::optional<Cloud> find_cloud(const std::string& endpoint, std::chrono::milliseconds time,
                                const std::string& dmi_directory) {
  const auto found = Search(endpoint, time).run();
  return found || !endpoint.empty() ? found : cloud_of_firmware(dmi_directory);
}

}  // namespace mad
