#include "transport/s3_listing.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"
#include "credentials/time.hpp"
#include "credentials/xml.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

constexpr std::size_t k_max_s3_page_bytes = std::size_t{16} << 20U;

/// A listing of what begins with `prefix`, whose names come encoded: `which` tells of what.
class BucketListing {
 public:
  BucketListing(const Url& prefix, std::pair<std::string, std::string> which)
      : prefix_(prefix), subject_(display_url(prefix)), which_(std::move(which)) {}

  const std::string& subject() const { return subject_; }

  S3Ask ask() const {
    S3Ask ask;
    ask.url = prefix_;
    ask.of_bucket = true;
    ask.max_reply_bytes = k_max_s3_page_bytes;
    ask.query = {which_,
                 {"encoding-type", "url"},
                 {"prefix", percent_decode(prefix_.path.substr(1)).value_or("")}};
    return ask;
  }

  /// encoding-type=url encodes as a form does, a blank as `+`.
  std::string decode(std::string_view text) const {
    std::string percent(text);
    std::replace(percent.begin(), percent.end(), '+', ' ');
    auto name = percent_decode(percent);
    if (!name) {
      throw bad_answer(subject_, "the listing has a name that is not encoded as asked for");
    }
    return *std::move(name);
  }

  /// Of an entry, by its Key.
  Url url_of(const XmlElement& element) const {
    Url url = prefix_;
    url.path = "/" + percent_encode_path(decode(element.text_of("Key")));
    return url;
  }

  Error does_not_go_on() const { return bad_answer(subject_, "the listing does not go on"); }

 private:
  const Url& prefix_;
  std::string subject_;
  std::pair<std::string, std::string> which_;
};

XmlElement s3_page(S3Session& session, const S3Ask& ask, const char* root_name) {
  const std::string subject = display_url(ask.url);
  const HttpReply reply = session.call(ask);
  if (!is_success(reply.head.status)) {
    throw status_error(subject, reply.head.status, xml_error_code(reply));
  }
  XmlElement root = parse_xml(reply.body, subject);
  if (root.name != root_name) throw bad_answer(subject, "the answer is no listing");
  return root;
}

/// When the last of its parts came; nothing where none has, or where it is gone by now.
std::optional<std::int64_t> last_part_s(S3Session& session, const ListedUpload& upload) {
  S3Ask ask;
  ask.url = upload.url;
  ask.max_reply_bytes = k_max_s3_page_bytes;
  std::optional<std::int64_t> last;
  std::string marker;
  for (;;) {
    ask.query = {{"uploadId", upload.id}};
    if (!marker.empty()) ask.query.emplace_back("part-number-marker", marker);
    const HttpReply reply = session.call(ask);
    if (reply.head.status == 404) return last;
    if (!is_success(reply.head.status)) {
      throw status_error(display_url(ask.url), reply.head.status, xml_error_code(reply));
    }
    const XmlElement root = parse_xml(reply.body, display_url(ask.url));
    for (const XmlElement& part : root.children) {
      const auto modified = parse_timestamp(part.text_of("LastModified"));
      if (part.name == "Part" && modified) last = std::max(last.value_or(*modified), *modified);
    }
    const std::string next(root.text_of("NextPartNumberMarker"));
    if (root.text_of("IsTruncated") != "true" || next.empty() || next == marker) return last;
    marker = next;
  }
}

}  // namespace

void list_s3_objects(S3Session& session, const Url& prefix, const ListPage& page) {
  const BucketListing listing(prefix, {"list-type", "2"});
  std::string token;
  for (;;) {
    S3Ask ask = listing.ask();
    if (!token.empty()) ask.query.emplace_back("continuation-token", token);
    const XmlElement root = s3_page(session, ask, "ListBucketResult");
    std::vector<ListedObject> objects;
    for (const XmlElement& element : root.children) {
      if (element.name != "Contents") continue;
      const auto size = parse_decimal(element.text_of("Size"));
      if (!size) {
        throw bad_answer(listing.subject(), "the listing has an object without a size");
      }
      ListedObject& object = objects.emplace_back();
      object.url = listing.url_of(element);
      object.size_bytes = *size;
      object.version = element.text_of("ETag");
      object.modified_s = parse_timestamp(element.text_of("LastModified"));
    }
    if (!page(objects) || root.text_of("IsTruncated") != "true") return;
    const std::string next(root.text_of("NextContinuationToken"));
    if (next.empty() || next == token) throw listing.does_not_go_on();
    token = next;
  }
}

std::vector<ListedUpload> list_s3_uploads(S3Session& session, const Url& prefix) {
  const BucketListing listing(prefix, {"uploads", ""});
  std::vector<ListedUpload> uploads;
  std::string key_marker;
  std::string id_marker;
  for (;;) {
    S3Ask ask = listing.ask();
    if (!key_marker.empty()) {
      ask.query.emplace_back("key-marker", key_marker);
      ask.query.emplace_back("upload-id-marker", id_marker);
    }
    const XmlElement root = s3_page(session, ask, "ListMultipartUploadsResult");
    for (const XmlElement& element : root.children) {
      if (element.name != "Upload") continue;
      ListedUpload upload;
      upload.url = listing.url_of(element);
      upload.id = element.text_of("UploadId");
      upload.modified_s = parse_timestamp(element.text_of("Initiated"));
      if (const auto last = last_part_s(session, upload)) upload.modified_s = last;
      uploads.push_back(std::move(upload));
    }
    const std::string next_key = listing.decode(root.text_of("NextKeyMarker"));
    const std::string next_id(root.text_of("NextUploadIdMarker"));
    if (root.text_of("IsTruncated") != "true") return uploads;
    if (next_key.empty() || (next_key == key_marker && next_id == id_marker)) {
      throw listing.does_not_go_on();
    }
    key_marker = next_key;
    id_marker = next_id;
  }
}

void remove_s3_upload(S3Session& session, const ListedUpload& upload) {
  S3Ask ask;
  ask.method = "DELETE";
  ask.url = upload.url;
  ask.query = {{"uploadId", upload.id}};
  const HttpReply reply = session.call(ask);
  if (!is_success(reply.head.status) && reply.head.status != 404) {
    throw status_error(display_url(upload.url), reply.head.status, xml_error_code(reply));
  }
}

}  // namespace mad
