#include "transport/s3_listing.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "credentials/time.hpp"
#include "credentials/xml.hpp"
#include "transport/store_reply.hpp"

namespace mad {
namespace {

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

std::string decode_s3_listed(std::string_view text, const std::string& subject) {
  std::string percent(text);
  for (char& c : percent) {
    if (c == '+') c = ' ';
  }
  const auto key = percent_decode(percent);
  if (!key) throw bad_answer(subject, "the listing has a name that is not encoded as asked for");
  return *key;
}

std::vector<ListedUpload> list_s3_uploads(S3Session& session, const Url& prefix) {
  const std::string subject = display_url(prefix);
  S3Ask ask;
  ask.url = prefix;
  ask.of_bucket = true;
  ask.max_reply_bytes = k_max_s3_page_bytes;
  const std::string names = percent_decode(prefix.path.substr(1)).value_or("");
  std::vector<ListedUpload> uploads;
  std::string key_marker;
  std::string id_marker;
  for (;;) {
    ask.query = {{"uploads", ""}, {"encoding-type", "url"}, {"prefix", names}};
    if (!key_marker.empty()) {
      ask.query.emplace_back("key-marker", key_marker);
      ask.query.emplace_back("upload-id-marker", id_marker);
    }
    const XmlElement root = s3_page(session, ask, "ListMultipartUploadsResult");
    for (const XmlElement& element : root.children) {
      if (element.name != "Upload") continue;
      ListedUpload upload;
      upload.url = prefix;
      upload.url.path =
          "/" + percent_encode_path(decode_s3_listed(element.text_of("Key"), subject));
      upload.id = element.text_of("UploadId");
      upload.modified_s = parse_timestamp(element.text_of("Initiated"));
      if (const auto last = last_part_s(session, upload)) upload.modified_s = last;
      uploads.push_back(std::move(upload));
    }
    const std::string next_key = decode_s3_listed(root.text_of("NextKeyMarker"), subject);
    const std::string next_id(root.text_of("NextUploadIdMarker"));
    if (root.text_of("IsTruncated") != "true") return uploads;
    if (next_key.empty() || (next_key == key_marker && next_id == id_marker)) {
      throw bad_answer(subject, "the listing does not go on");
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
