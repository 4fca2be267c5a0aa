// Package objectstore keeps objects, each written once, at S3 and compatible stores, Google, Azure, or in a directory.
//
// # Where
//
// A URL names the place, and its path is put before all keys:
//
//	s3://bucket/app?region=eu-central-1                                          Amazon
//	s3://bucket/app?region=us-east-1&endpoint=https://minio:9000&use_path_style=true   a compatible store
//	gs://bucket/app                                                              Google
//	azblob://container/app                                                       Azure
//	file:///mnt/nas/app                                                          a directory, which must exist
//
// Credentials come from where the provider's own tools look for them: the environment (AWS_ACCESS_KEY_ID and the like,
// GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT), files in the home folder, or the machine's role. Further
// parameters are those of gocloud.dev/blob: profile, role, ssetype, kmskeyid, disable_https,
// request_checksum_calculation.
//
// # What holds
//
// Put is create-only: of two writers of one key with other content one gets ErrExists, and nothing is ever overwritten.
// One that finds its very content there succeeds, since its own earlier answer may have been lost. When Put has
// returned nil the object is durable, and has the size and digest of what was given:
//
//	content ──SHA-256, MD5──▶ upload, if there is none ──▶ size and MD5 as the store tells them
//	   │                          ▲                              └─ no MD5: the object is read back
//	   └── read again ────────────┘ (other bytes than before: nothing is stored)
//
// A directory needs no MD5, and of content that is in memory (Memory) no digest before it is written: it is read once.
//
// Read goes on where it was after an interruption. An error says which of these it is: ErrNotExist, ErrExists,
// ErrPermission, ErrClock, ErrDamaged, ErrContent, ErrRefused, or ErrAway, which alone is tried again. That an object
// does not exist is said only by a store that is there: a bucket that does not exist and a directory that was unmounted
// are ErrAway.
//
// # Limits
//
// A Store works on so many objects at a time, at so many bytes per second, and gives up an attempt that makes no
// progress. An upload has at most three parts of 8 MiB in memory (more for objects above 70 GiB), a read 256 KiB.
//
// # A directory
//
// Objects are files, keys their paths. A file is written and synced as .tmp/<random>, gets its name by a link, which
// fails where there is one, and then the folders are synced. A crash leaves an object whole or absent.
package objectstore
