// Workers hash what they get by a channel; prints how many items are done, twice a second.
package main

import (
	"crypto/sha256"
	"fmt"
	"time"
)

func worker(in <-chan [64]byte, out chan<- [32]byte) {
	for b := range in {
		out <- sha256.Sum256(b[:])
	}
}

func main() {
	in, out := make(chan [64]byte, 64), make(chan [32]byte, 64)
	for i := 0; i < 4; i++ {
		go worker(in, out)
	}
	go func() {
		var b [64]byte
		for i := 0; ; i++ {
			b[i%64]++
			in <- b
		}
	}()
	done, shown := 0, time.Now()
	for range out {
		done++
		if done%1000 == 0 && time.Since(shown) > time.Second/2 {
			shown = time.Now()
			fmt.Println(done)
		}
	}
}
