#include <openssl/evp.h>
#include <zstd.h>
