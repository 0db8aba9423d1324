// A server of Go's library: statically linked, or with cgo by the dynamic linker.
package main

import (
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) { answer.Write([]byte("ok")) })
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("SERVER_PORT"), nil))
}
