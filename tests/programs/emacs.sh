#!/bin/bash
# Emacs in batch: its dumped heap, buffers, undo, processes, compilation of Lisp, collections.
set -u
. "$(dirname "$0")/lib"
needs emacs
cat >program.el <<'END'
;;; -*- lexical-binding: t -*-
(require 'cl-lib)
(require 'json)
(defun work (n) (let ((v (make-vector n nil))) (dotimes (i n) (aset v i (number-to-string (* i i)))) v))
(with-temp-buffer
  (buffer-enable-undo)
  (dotimes (i 5000) (insert (format "line %d %s\n" i (make-string (% i 60) ?x))))
  (goto-char (point-min))
  (while (re-search-forward "^line \\([0-9]*\\)7 " nil t) (replace-match "L\\1-" nil nil))
  (sort-lines nil (point-min) (point-max))
  (princ (format "%s %d\n" (secure-hash 'sha256 (current-buffer)) (length buffer-undo-list)))
  (undo-boundary)
  (primitive-undo 1 buffer-undo-list)
  (princ (format "%d\n" (buffer-size))))
(let ((h (make-hash-table :test 'equal)))
  (dotimes (i 10000) (push i (gethash (format "k%d" (% (* i 7919) 977)) h)))
  (garbage-collect)
  (princ (format "%d %d\n" (hash-table-count h) (cl-loop for v being the hash-values of h sum (length v)))))
(princ (format "%d\n" (length (json-encode (work 5000)))))
(byte-compile 'work)
(princ (format "%d\n" (length (work 5000))))
(with-temp-buffer (call-process "echo" nil t nil "from a child") (princ (buffer-string)))
(with-temp-buffer (insert "int main() { return 0; }") (c-mode) (indent-region (point-min) (point-max)) (princ (buffer-string)))
(princ (condition-case e (make-string most-positive-fixnum ?x) (error (format "\n%S" (car e)))))
(kill-emacs 4)
END
in_modes 'off sample exact' emacs emacs -Q --batch -l program.el
did emacs 4 '^977 10000$' '^from a child$' '^error$'
exit $bad
