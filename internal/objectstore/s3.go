package objectstore

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	gcaws "gocloud.dev/aws"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// openS3 opens a bucket of S3 or of a compatible store. Unlike the library's own opener it leaves all retries to this
// package, so that they are bounded in one place.
func openS3(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	q := u.Query()
	pathStyle, err := takeBool(q, "use_path_style")
	if err != nil {
		return nil, err
	}
	plain, err := takeBool(q, "disable_https")
	if err != nil {
		return nil, err
	}
	opt := s3blob.Options{
		EncryptionType:  types.ServerSideEncryption(take(q, "ssetype")),
		KMSEncryptionID: take(q, "kmskeyid"),
	}
	config, err := gcaws.V2ConfigFromURLParams(ctx, q)
	if err != nil {
		return nil, err
	}
	config.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	config.HTTPClient = httpClient()
	config.Logger = logging.Nop{}
	opt.RequestChecksumCalculation = config.RequestChecksumCalculation
	client := s3.NewFromConfig(config, func(o *s3.Options) {
		o.UsePathStyle = pathStyle
		o.EndpointOptions.DisableHTTPS = plain
	})
	return s3blob.OpenBucket(ctx, client, u.Host, &opt)
}

// Limits of connections to S3. How long a request may make no progress is the Store's to say.
const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 90 * time.Second
	idleConnections  = 16
)

func httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: handshakeTimeout,
		IdleConnTimeout:     idleTimeout,
		MaxIdleConnsPerHost: idleConnections,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true, // what is stored is what is read
	}}
}

// take removes a parameter of a URL, and returns it.
func take(q url.Values, name string) string {
	value := q.Get(name)
	q.Del(name)
	return value
}

func takeBool(q url.Values, name string) (bool, error) {
	text := take(q, name)
	if text == "" {
		return false, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("parameter %s=%s: write true or false", name, text)
	}
	return value, nil
}
