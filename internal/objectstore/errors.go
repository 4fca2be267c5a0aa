package objectstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"
)

// What an error of a Store is, for errors.Is. What the caller's context gives is returned as it is.
var (
	ErrNotExist   = errors.New("there is no such object")
	ErrExists     = errors.New("there is an object of this name with other content")
	ErrPermission = errors.New("the store does not permit it: check the credentials and what they may do")
	ErrClock      = errors.New("the clocks of this machine and the store differ: set the clock, for example with NTP")
	ErrDamaged    = errors.New("the content is not what it should be")
	ErrContent    = errors.New("what is to be stored cannot be read")
	ErrRefused    = errors.New("the store refuses the request")
	ErrAway       = errors.New("the store is away or busy") // later it may work
)

// An Error says what was attempted on which object of which store.
type Error struct {
	Op    string // put, stat, read, list, delete
	Store string // without credentials
	Key   string
	Err   error
}

func (e *Error) Error() string {
	return fmt.Sprintf("object store %s: %s %s: %v", e.Store, e.Op, e.Key, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// IsTemporary reports whether the same may work later without anybody having changed anything.
func IsTemporary(err error) bool { return errors.Is(err, ErrAway) }

// kinds are the errors of this package.
var kinds = []error{ErrNotExist, ErrExists, ErrPermission, ErrClock, ErrDamaged, ErrContent, ErrRefused, ErrAway}

// classify says which kind an error of a provider is. The HTTP status comes first: gocloud.dev takes Google's 403 for
// "not found", and an object that cannot be seen must not count as one that is not there.
func classify(err error) error {
	if err == nil || isOne(err, kinds) || isOne(err, []error{context.Canceled, context.DeadlineExceeded}) {
		return err
	}
	kind := ofCode(apiCode(err))
	if kind == nil {
		kind = ofStatus(httpStatus(err))
	}
	if kind == nil {
		kind = ofGeneral(gcerrors.Code(err))
	}
	return fmt.Errorf("%w (%w)", kind, err)
}

func isOne(err error, list []error) bool {
	for _, one := range list {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// apiCode is the name that S3 or Azure give an error; "" where there is none.
func apiCode(err error) string {
	if api := (smithy.APIError)(nil); errors.As(err, &api) {
		return api.ErrorCode()
	}
	if azure := (*azcore.ResponseError)(nil); errors.As(err, &azure) {
		return azure.ErrorCode
	}
	return ""
}

func ofCode(code string) error {
	switch code {
	case "NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted":
		return fmt.Errorf("%w: the bucket does not exist: check its name, or make it", ErrAway)
	case "RequestTimeTooSkewed":
		return ErrClock
	case "ConditionalRequestConflict", "OperationAborted", "SlowDown", "RequestTimeout", "InternalError", "ServerBusy":
		return ErrAway
	case "NoSuchUpload": // two uploads of one key: the other one has ended
		return ErrAway
	case "PreconditionFailed", "BlobAlreadyExists":
		return ErrExists
	case "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "IncompleteBody",
		"Md5Mismatch":
		return fmt.Errorf("%w: it was damaged on its way", ErrAway)
	}
	return nil
}

// httpStatus is 0 where the error is of no answer.
func httpStatus(err error) int {
	var aws interface{ HTTPStatusCode() int }
	var google *googleapi.Error
	var azure *azcore.ResponseError
	switch {
	case errors.As(err, &aws):
		return aws.HTTPStatusCode()
	case errors.As(err, &google):
		return google.Code
	case errors.As(err, &azure):
		return azure.StatusCode
	}
	return 0
}

func ofStatus(status int) error {
	switch {
	case status == http.StatusNotFound:
		return ErrNotExist
	case status == http.StatusPreconditionFailed:
		return ErrExists
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return ErrPermission
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status == http.StatusConflict,
		status >= http.StatusInternalServerError:
		return ErrAway
	case status >= http.StatusBadRequest:
		return ErrRefused
	}
	return nil
}

func ofGeneral(code gcerrors.ErrorCode) error {
	switch code { //nolint:exhaustive // what is left is an error of the network, or one that nobody has named
	case gcerrors.NotFound:
		return ErrNotExist
	case gcerrors.AlreadyExists, gcerrors.FailedPrecondition:
		return ErrExists
	case gcerrors.PermissionDenied:
		return ErrPermission
	case gcerrors.InvalidArgument, gcerrors.Unimplemented:
		return ErrRefused
	}
	return ErrAway
}
