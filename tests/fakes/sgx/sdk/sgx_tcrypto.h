#include "sgx_sdk.h"
